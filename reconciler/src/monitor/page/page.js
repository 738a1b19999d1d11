// Asks for the page again every two seconds and puts what is new into it. Says so when nothing answers: what stands there is old
// then. A text that somebody marks, to copy a command, is left alone meanwhile.
"use strict";
(() => {
  const EVERY = 2000, PATIENCE = 8000;
  const live = document.getElementById("live");
  const line = document.getElementById("liveness");
  let tag = "", told = "", timer = 0;

  const say = (text, isOld) => {
    if (text !== told) line.textContent = told = text;
    document.body.classList.toggle("old", isOld);
  };

  const put = (page) => {
    const focused = document.activeElement && document.activeElement.getAttribute("href");
    live.replaceChildren(...page.getElementById("live").childNodes);
    document.title = page.title;
    if (focused && document.activeElement === document.body) {
      for (const link of live.querySelectorAll("a[href]")) {
        if (link.getAttribute("href") === focused) { link.focus({ preventScroll: true }); break; }
      }
    }
  };

  const look = async () => {
    clearTimeout(timer);
    try {
      const headers = tag ? { "If-None-Match": tag } : {};
      const answer = await fetch(location.href, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      const isSame = answer.status === 304;
      if (!isSame && getSelection().isCollapsed) {
        put(new DOMParser().parseFromString(await answer.text(), "text/html"));
        tag = answer.headers.get("ETag") || "";
      }
      say("Live", false);
    } catch (error) {
      if (!document.body.classList.contains("old")) {
        say("Not live since " + new Date().toLocaleTimeString() + ": the controller does not answer. What is shown is old.", true);
      }
    }
    if (!document.hidden) timer = setTimeout(look, EVERY);
  };

  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  look();
})();
