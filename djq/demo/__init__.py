"""`python -m djq demo`: a cluster at work for somebody who has no project yet."""
