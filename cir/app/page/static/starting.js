// While the service starts: says what it is doing, and opens the page when it is ready.

const PAUSE = 1000; // milliseconds

async function look() {
  try {
    const answer = await fetch("readyz", { cache: "no-store" });
    if (answer.ok) {
      location.reload();
      return;
    }
    const { error } = await answer.json();
    document.getElementById("doing").textContent = error;
  } catch { /* between the two, nothing may answer */ }
  setTimeout(look, PAUSE);
}

setTimeout(look, PAUSE);
