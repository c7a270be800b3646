/* Renews the page of the clusters: asks the server for its newest state, and puts in what has changed.

   The server renders all of it. Elements stay what they are while only their texts change, so the focus,
   a selection, what was unfolded and where somebody has scrolled to stay, and a screen reader is told of
   nothing but changes. */
"use strict";
{
    const page = document.querySelector(".djq-clusters");
    const pause = document.getElementById("djq-pause");
    const seconds = Number(page.dataset.renewedSeconds);
    const SECONDS_MAX = 30;
    const ANSWER_SECONDS_MAX = 15;

    let timer = null;
    let isAsking = false;
    let isPaused = false;
    let hasEnded = false;
    let failures = 0;

    const tell = (state) => {
        for (const each of page.querySelectorAll("[data-state]")) {
            each.hidden = each.dataset.state !== state;
        }
    };

    const isWanted = () => !hasEnded && !isPaused && !document.hidden;

    const plan = (wait) => {
        clearTimeout(timer);
        if (isWanted()) {
            timer = setTimeout(ask, wait * 1000);
        }
    };

    async function ask() {
        if (isAsking || !isWanted()) {
            return;
        }
        isAsking = true;
        try {
            const answer = await fetch(page.dataset.nowUrl, {
                cache: "no-store",
                credentials: "same-origin",
                redirect: "manual",
                signal: AbortSignal.timeout(ANSWER_SECONDS_MAX * 1000),
            });
            // A redirect leads to a page to log in.
            if (answer.status === 403 || answer.status === 401 || answer.type === "opaqueredirect") {
                hasEnded = true;
                tell("ended");
                return;
            }
            const text = answer.ok ? await answer.text() : "";
            const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("djq-now");
            if (fresh === null) {
                throw new Error(`no state in an answer ${answer.status}`);
            }
            renew(document.getElementById("djq-now"), fresh);
            failures = 0;
            tell(null);
        } catch {
            failures += 1;
            tell("silent");
        } finally {
            isAsking = false;
            plan(Math.min(seconds * 2 ** failures, SECONDS_MAX));
        }
    }

    /* Make an element what a fresh one is. Children with an id are known by it, others by their place. */
    function renew(old, fresh) {
        if (old.nodeType !== Node.ELEMENT_NODE) {
            if (old.data !== fresh.data) {
                old.data = fresh.data;
            }
            return;
        }
        renewAttributes(old, fresh);
        const wanted = [...fresh.childNodes];
        const ids = new Set(wanted.map((child) => child.id).filter(Boolean));
        for (const child of [...old.children]) {
            if (child.id && !ids.has(child.id)) {
                child.remove();
            }
        }
        let next = old.firstChild;
        for (const child of wanted) {
            const same = child.id ? [...old.children].find((each) => each.id === child.id) : next;
            if (same && same.nodeName === child.nodeName && (child.id || !same.id)) {
                if (same === next) {
                    next = next.nextSibling;
                } else {
                    old.insertBefore(same, next);
                }
                renew(same, child);
            } else {
                old.insertBefore(child, next);
            }
        }
        while (next) {
            const last = next;
            next = next.nextSibling;
            last.remove();
        }
    }

    function renewAttributes(old, fresh) {
        for (const { name, value } of fresh.attributes) {
            if (old.getAttribute(name) !== value) {
                old.setAttribute(name, value);
            }
        }
        for (const { name } of [...old.attributes]) {
            // Whether it is unfolded is the reader's own affair.
            if (!fresh.hasAttribute(name) && name !== "open") {
                old.removeAttribute(name);
            }
        }
    }

    pause.addEventListener("click", () => {
        isPaused = !isPaused;
        pause.textContent = isPaused ? pause.dataset.off : pause.dataset.on;
        plan(0);
    });
    document.addEventListener("visibilitychange", () => plan(0));
    pause.hidden = false;
    plan(seconds);
}
