// The browser check: a little work in a worker, a few yes-or-no findings, one answer, a cookie that no script can read.
// Nothing of the page waits for it. Pictures that came as previews are loaded again in place once it is done.

const beside = (name) => new URL(name, import.meta.url);
const KEY = "antiscrape";
// So long after a check that did not help is none begun because of previews: a budget may be spent, and stay so.
const AGAIN = 300_000;

const read = () => {
  try {
    return JSON.parse(localStorage.getItem(KEY)) || {};
  } catch {
    return {};
  }
};
// Where nothing may be kept, in another site's frame or by a person's choice, no cookie would be either.
const write = (state) => {
  try {
    localStorage.setItem(KEY, JSON.stringify(state));
    return true;
  } catch {
    return false;
  }
};

// When each picture was asked for that came as a lesser rendition, by its URL: these name themselves in Server-Timing,
// which scripts of the same origin can read. (A page over plain http is told nothing of it, and shows its originals
// from the next page on.)
const lesser = new Map();
// When this page was cleared: what was asked for before may still come as a preview after it.
let cleared = -1;

const bare = (url) => url.split("#")[0];

function note(entries) {
  for (const { name, serverTiming = [], startTime } of entries) {
    if (serverTiming.some((entry) => entry.name === "rendition")) lesser.set(bare(name), startTime);
    else lesser.delete(bare(name));
  }
}

const early = (url) => lesser.get(bare(url)) < cleared;

// A document shows what it has of a URL, no-store or not (HTML §4.8.4.3, the list of available images). So the originals
// are loaded in an empty document of their own, as pictures, and what is shown changes once they are in the cache.
// Firefox has one list for all tabs of a site, and takes an answer out of its cache of bytes for word that the picture in
// the list is still right, whichever it is: after a preview in one tab and the original in another, both would stay as they
// are. What a document loads that was reloaded by force comes past both, and Firefox still knows that word (true).
// A page under a service worker has a list to itself, in which a picture of another mode of CORS is another.
function swap() {
  const wanted = [...document.images].filter(({ currentSrc }) => early(currentSrc));
  if (!wanted.length) return;
  const frame = document.createElement("iframe");
  const load = () => Promise.all(wanted.map(async (image) => {
    const url = image.currentSrc, fresh = new frame.contentWindow.Image();
    fresh.crossOrigin = image.crossOrigin;
    fresh.src = url;
    await new Promise((done) => { fresh.onload = fresh.onerror = done; });
    if (!fresh.naturalWidth || image.currentSrc !== url) return;
    // Another site's answer may not allow it.
    if (navigator.serviceWorker?.controller && url.startsWith(origin + "/")) image.crossOrigin = image.crossOrigin ? null : "";
    // Set to what it is, an attribute has the browser choose and load anew (§4.8.4.2.2); Firefox only by src.
    const name = image.hasAttribute("src") ? "src" : "srcset";
    image.setAttribute(name, image.getAttribute(name));
  })).then(() => frame.remove());
  for (const { currentSrc } of wanted) lesser.delete(bare(currentSrc));
  frame.style.display = "none";
  if (engine() === "gecko") {
    frame.onload = () => {
      frame.onload = load;
      frame.contentWindow.location.reload(true);
    };
  }
  document.body.append(frame);
  if (!frame.onload) load();
}

function engine() {
  const has = (rule) => globalThis.CSS !== undefined && CSS.supports(rule);
  if (has("-moz-appearance: none") && "mozInnerScreenX" in window) return "gecko";
  if ("GestureEvent" in window || has("-webkit-nbsp-mode: space")) return "webkit";
  return has("-webkit-app-region: none") || "chrome" in window ? "chromium" : "none";
}

// A debugger that asked for the console (Runtime.enable, which puppeteer and Playwright do first) has V8 write out an
// error's stack as it is told of it. Where the site watches its console itself, nothing is to be learnt.
function watched() {
  if (!`${console.debug}`.includes("[native code]")) return false;
  const kept = Error.prepareStackTrace;
  let told = false;
  Error.prepareStackTrace = () => { told = true; };
  console.debug(new Error());
  Error.prepareStackTrace = kept;
  return told;
}

// Chromium under a name that it was given (--user-agent) has no versions of its own to tell.
async function named() {
  try {
    return (await navigator.userAgentData.getHighEntropyValues(["fullVersionList"])).fullVersionList.length > 0;
  } catch {
    return true;
  }
}

async function probe(botd) {
  try {
    // Its monitoring would tell its makers of every visit.
    const { load } = await botd;
    const found = (await load({ monitoring: false })).detect();
    return {
      bot: found.bot ? found.botKind : "",
      driven: navigator.webdriver === true,
      engine: engine(),
      languages: navigator.languages.length > 0,
      window: outerWidth > 0 && outerHeight > 0,
      // Media Queries 4, section 7: no mouse, no pen, no finger, as it is with a browser that draws for nobody.
      pointer: !matchMedia("(any-pointer: none)").matches || navigator.maxTouchPoints > 0,
      named: await named(),
      watched: watched(),
    };
  } catch {
    return null;
  }
}

function begin() {
  try {
    return new Worker(beside("work.js"), { type: "module" });
  } catch {
    return null;
  }
}

function work(parameters) {
  const here = async () => (await import("./work.js")).solve(parameters, () => new Promise((go) => setTimeout(go)));
  return new Promise((done, failed) => {
    if (!worker) here().then(done, failed);
    else {
      worker.onmessage = ({ data }) => done(data);
      // A policy of the page may keep workers out.
      worker.onerror = () => here().then(done, failed);
      worker.postMessage(parameters);
    }
  });
}

async function ask(path, body) {
  const answer = await fetch(beside(`../${path}`), body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.ok ? answer.json() : {};
}

let running, worker;

function due() {
  const { until = 0, asked = 0 } = read(), now = Date.now();
  // Another tab was cleared while this page loaded.
  if (until > now && asked > performance.timeOrigin && lesser.size && cleared < 0) arrive();
  if (now - asked < (until ? 2000 : AGAIN)) return false;
  return (until <= now + 60_000 || (lesser.size && now - asked > AGAIN)) && write({ until, asked });
}

async function earn() {
  // Another tab has, meanwhile.
  if (!due()) return;
  // All are under way at once, and the probes, which keep the page's own thread busy, begin when the work has.
  const asking = ask("challenge"), botd = import("./botd.js");
  worker ??= begin();
  botd.catch(() => {});
  let told = await asking;
  if (told.parameters) {
    const [solution, probes] = await Promise.all([work(told.parameters), probe(botd)]);
    told = await ask("answer", { challenge: told, solution, probes });
  }
  const left = told.seconds > 0 ? told.seconds * 1000 : 0;
  // Where none is given it is asked for again later, not at every page.
  write({ until: left && Date.now() + left, asked: Date.now() });
  if (left) arrive();
  // What was written reaches other tabs a little later; the lock may do so at once.
  await new Promise((go) => setTimeout(go, 200));
}

// Of many tabs that come together, as out of a folder of bookmarks, one does the check, and the others have its cookie.
async function check() {
  if (running || !navigator.cookieEnabled || !due()) return;
  running = true;
  try {
    // A worker takes a while to come up, and a lock to be given: the page that is looked at has both at once.
    if (!document.hidden) worker = begin();
    await (navigator.locks ? navigator.locks.request(KEY, earn) : earn());
  } finally {
    worker?.terminate();
    running = worker = null;
  }
}

function arrive() {
  cleared = performance.now();
  swap();
}

new PerformanceObserver((list) => {
  note(list.getEntries());
  if ([...lesser.keys()].some(early)) swap();
  if (lesser.size) check();
}).observe({ type: "resource", buffered: true });

check();
// A page may come back out of the back/forward cache as it was left.
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  if (read().until > Date.now()) arrive();
  check();
});
