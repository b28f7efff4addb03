// Takes off an open page what may be shown no longer. It asks twice a second, sends nothing, and keeps nothing.
"use strict";
(() => {
  const page = document.querySelector("[data-watch]");
  if (!page) return;
  const every = 500;
  const failuresMax = 8;
  let failures = 0;
  let timer = 0;
  let asking = false;
  let over = false;

  // The notice for what was taken away; whoever was just there is taken along.
  const say = (name, had) => {
    for (const notice of document.querySelectorAll(`[data-gone="${name}"]`)) {
      notice.hidden = false;
      if (had) notice.focus();
    }
  };
  const take = (elements, name) => {
    const had = [...elements].some((element) => element.contains(document.activeElement));
    for (const element of elements) element.remove();
    if (elements.length > 0) say(name, had);
  };
  const end = (name) => {
    over = true;
    take(document.querySelectorAll("[data-case]"), name);
  };

  const ask = async () => {
    if (asking || over) return;
    asking = true;
    clearTimeout(timer);
    try {
      const answer = await fetch(page.dataset.watch, { cache: "no-store", credentials: "same-origin" });
      if (answer.status !== 200) {
        end("over");
      } else {
        const said = await answer.json();
        failures = 0;
        if (said.all) end("over");
        for (const number of said.gone) {
          take(document.querySelectorAll(`[data-case="${CSS.escape(number)}"]`), "stopped");
        }
      }
    } catch {
      failures += 1;
      if (failures >= failuresMax) end("over");
    }
    asking = false;
    if (!over) timer = setTimeout(ask, every);
  };
  // A tab that was in the background may have slept.
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") ask();
  });
  ask();
})();
