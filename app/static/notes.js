// Says what went wrong when there is no page to swap in. What was typed stays where it is.
(() => {
  const say = (text) => {
    const place = document.getElementById("problem");
    if (!place) return;
    place.textContent = text;
    place.scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
    if (ctx.response.status < 500) return;
    const page = new DOMParser().parseFromString(ctx.text, "text/html");
    const detail = page.getElementById("detail")?.textContent;
    say(detail || "The server cannot answer right now. Please try again in a moment.");
  });

  document.addEventListener("htmx:error", () => say("The server cannot be reached. Please try again in a moment."));
  document.addEventListener("htmx:before:request", () => say(""));
})();
