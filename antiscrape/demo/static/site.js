// Adds what the pages do without: more photos in place, and arrow keys on a photo's page.
"use strict";

const more = document.querySelector("[data-next]");
const wall = document.querySelector(".wall");

function tile(photo) {
  const item = document.createElement("li");
  item.style.setProperty("--w", photo.width);
  item.style.setProperty("--h", photo.height);
  const link = document.createElement("a");
  link.href = photo.url;
  const picture = new Image(photo.width, photo.height);
  picture.loading = "lazy";
  picture.sizes = "(max-width: 600px) 48vw, 320px";
  picture.srcset = photo.pictures.map(({ url, width }) => `${url} ${width}w`).join(", ");
  picture.src = photo.pictures[0].url;
  picture.alt = photo.alt;
  const words = document.createElement("span");
  words.ariaHidden = "true";
  words.textContent = photo.title;
  link.append(picture);
  item.append(link, words);
  return item;
}

async function append(event) {
  event.preventDefault();
  const answer = await fetch("/api/feed?page=" + more.dataset.next);
  if (!answer.ok) {
    location.href = more.href;
    return;
  }
  const feed = await answer.json();
  const first = wall.children.length;
  wall.append(...feed.photos.map(tile));
  wall.children[first].querySelector("a").focus({ preventScroll: true });
  if (feed.page < feed.pages) {
    more.dataset.next = feed.page + 1;
    more.href = "/?page=" + more.dataset.next;
  } else {
    more.remove();
  }
}

if (more) more.addEventListener("click", append);

addEventListener("keydown", (event) => {
  const way = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const link = way && !event.altKey && !event.ctrlKey && !event.metaKey && document.querySelector(`a[rel=${way}]`);
  if (link) link.click();
});
