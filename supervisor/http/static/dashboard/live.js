// What the events tell of running jobs: rate, time left, why a job is slow. Kept for the views.

const NAMES = ["jobProgress", "workerActive", "workerCompleted", "workerFailed", "jobCancelled", "jobRetried"];
const MOST_JOBS = 2000;

export const progress = new Map();

export function live(listen) {
  const lamp = document.getElementById("live");
  lamp.textContent = "connecting";
  listen(`/events?${NAMES.map((name) => `name=${name}`).join("&")}`, (events) => {
    for (const event of events) {
      if (event.name === "jobProgress") {
        progress.delete(event.jobId);
        progress.set(event.jobId, event);
        if (progress.size > MOST_JOBS) progress.delete(progress.keys().next().value);
      } else if (event.jobId) progress.delete(event.jobId);
    }
  }, (state) => {
    lamp.className = `live ${state}`;
    lamp.textContent = state === "on" ? "live" : "no connection";
  });
}
