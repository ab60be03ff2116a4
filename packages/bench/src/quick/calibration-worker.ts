/** One processor's part of the calibration: integers, memory in no order, and objects for the collector. */
import { parentPort } from 'node:worker_threads';

/** Never changed: ratios that were written down belong to this much work. */
const steps = 3_000_000;
const places = 1 << 20;

const memory = new Int32Array(places);

function work(): number {
  let state = 1;
  let kept: { readonly at: number; readonly before: number }[] = [];
  for (let step = 0; step < steps; step++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const at = (state >>> 0) % places;
    const before = memory[at] ?? 0;
    memory[at] = before + step;
    if (step % 16 === 0) kept.push({ at, before });
    if (kept.length === 1000) kept = [];
  }
  return state + kept.length;
}

parentPort?.on('message', () => {
  const from = performance.now();
  const result = work();
  const seconds = (performance.now() - from) / 1000;
  // The result is used, so that nobody may leave the work out.
  parentPort?.postMessage(Number.isNaN(result) ? Number.NaN : seconds);
});
