// Numbers, sizes and times as people read them.

export const number = (value) => (value === null || value === undefined ? "–" : Number(value).toLocaleString("en"));

export function decimal(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, "");
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (value >= 1024 && step < units.length - 1) { value /= 1024; step += 1; }
  return `${step ? decimal(value) : value} ${units[step]}`;
}

// A span of time, given in seconds.
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${decimal(seconds)} s`;
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return `${minutes} min ${whole % 60} s`;
}

export const clock = (moment) => (moment ? new Date(moment).toLocaleTimeString() : "–");

export function ago(iso) {
  if (!iso) return "–";
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  return seconds < 1 ? "now" : `${span(Math.round(seconds))} ago`;
}

// Why a job ended, in words; a reason without any is shown as it is.
const ENDS = {
  finished: "nothing is left", max_pages: "maxPages is reached", attempt_limit: "too many fetches without a record",
  max_bytes: "its records are as large as they may be", start_page: "its start page failed", robots: "robots.txt forbids its start page",
  blocked_address: "its start page is at a private address", timeout: "maxDuration is over", cancelled: "cancelled",
};

export const ending = (reason) => ENDS[reason] || reason || "";
