// Numbers and instants as people read them. Unknown is a dash, never 0.

export const DASH = "–";

export function number(value, digits = 1) {
  if (value === null || value === undefined) return DASH;
  const places = Math.abs(value) >= 100 ? 0 : digits;
  return value.toLocaleString("en", { maximumFractionDigits: places });
}

export function seconds(value) {
  if (value === null || value === undefined) return DASH;
  if (value < 100) return `${Math.max(0, Math.round(value))} s`;
  const minutes = value / 60;
  if (minutes < 100) return `${minutes.toLocaleString("en", { maximumFractionDigits: minutes < 10 ? 1 : 0 })} min`;
  const hours = minutes / 60;
  return hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} days`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const CLOCK_SECONDS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export const clock = (at) => CLOCK.format(new Date(at * 1000));
export const clockSeconds = (at) => CLOCK_SECONDS.format(new Date(at * 1000));

export function when(at, now) {
  const date = new Date(at * 1000);
  return now - at < 20 * 3600 ? clockSeconds(at) : `${DAY.format(date)} ${clock(at)}`;
}

// `replicas ready (+ starting)`
export function replicasNow(replicas) {
  if (!replicas) return DASH;
  return replicas.starting ? `${replicas.ready} + ${replicas.starting} starting` : `${replicas.ready}`;
}
