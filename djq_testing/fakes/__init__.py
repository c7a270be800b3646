"""Servers in memory, beneath djq's own adapters: one file for each broker that has one."""
