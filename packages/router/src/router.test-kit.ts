/** A router and three pretended stores on one manual clock: what the router's tests begin with. */
import { MemoryNetwork, SeededPrng } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { createRouter, type RouterOptions } from './router.ts';
import type { Router } from './router-api.ts';
import { FakeCluster } from './testing/fake-cluster.ts';

export interface Kit {
  readonly clock: ManualClock;
  readonly network: MemoryNetwork;
  readonly cluster: FakeCluster;
  readonly router: Router;
  /** Lets what is under way finish, moving time on in small steps while `pending` holds. */
  run<T>(promise: Promise<T>, withinMs?: number): Promise<T>;
  /** Moves time on and lets promises settle. */
  pass(ms: number): Promise<void>;
}

export function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

export function setUp(
  bounds: readonly string[] = ['m'],
  options: Partial<RouterOptions> = {},
  seed = 1,
): Kit {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock, prng: new SeededPrng(seed) });
  const cluster = new FakeCluster(network, clock, bounds.map(bytes));
  const router = createRouter({
    transport: network.connect('router'),
    clock,
    prng: new SeededPrng(seed + 1),
    ...options,
  });
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      clock.runTurn();
      await Promise.resolve();
    }
  };
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 5) {
      clock.advance(Math.min(5, left));
      await settle();
    }
  };
  const run = async <T>(promise: Promise<T>, withinMs = 60_000): Promise<T> => {
    let over = false;
    const end = (): void => {
      over = true;
    };
    promise.then(end, end);
    await settle();
    for (let waited = 0; !over; waited += 5) {
      if (waited > withinMs) throw new Error(`still pending after ${withinMs} ms`);
      clock.advance(5);
      await settle();
    }
    return promise;
  };
  return { clock, network, cluster, router, run, pass };
}
