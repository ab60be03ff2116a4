/** How long and how hard: short by default, for CI; `campaign.mjs` sets the variables for longer runs. */

function count(name: string, byDefault: number): number {
  const text = process.env[name];
  if (text === undefined || text === '') return byDefault;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`${name} is "${text}": expected a whole number >= 1`);
  return value;
}

/** Times that each store is killed. */
export const killRounds: number = count('E2E_KILL_ROUNDS', 1);
/** Times that all processes are killed at once. */
export const powerCuts: number = count('E2E_POWER_CUTS', 1);
/** Times that a leader is stopped and continued. */
export const pauses: number = count('E2E_PAUSES', 1);
/** Times that nats-server is stopped and started. */
export const natsOutages: number = count('E2E_NATS_OUTAGES', 1);
/** Leadership transfers under load. */
export const transfers: number = count('E2E_TRANSFERS', 20);
/** Times that the store which leads most is killed while every range is probed. */
export const failovers: number = count('E2E_FAILOVERS', 1);
/** Length of one nats-server outage. */
export const natsOutageMs: number = count('E2E_NATS_OUTAGE_MS', 5000);

/** A bound for a test that repeats something. Unit: ms. */
export function bound(onceMs: number, times: number): number {
  return 30_000 + onceMs * times;
}
