import { expect, it } from 'vitest';
import { swarmOf } from '../swarm.ts';
import { Adaptation } from './adaptation.ts';
import type { Report } from './job.ts';

function reportOf(seed: number, parts: Pick<Report, 'faults' | 'probes'>): Report {
  return {
    job: { seed, once: true },
    failure: undefined,
    swarm: swarmOf(seed),
    traceHash: '-',
    cpuMs: 0,
    events: 1,
    virtualMs: 1,
    operations: { ok: 0, failed: 0, unknown: 0 },
    leaders: 1,
    exits: {},
    ...parts,
  };
}

it('makes classes likelier that come with rare paths, and leaves common paths out of it', () => {
  const adaptation = new Adaptation();
  expect(adaptation.weights()).toEqual({});
  for (let seed = 1; seed <= 400; seed++) {
    const crashes = seed % 2 === 0;
    adaptation.add(
      reportOf(seed, {
        faults: crashes ? { crash: 3, storm: 1 } : { pause: 2, storm: 1 },
        probes: {
          // Rare, and only with crashes.
          ...(seed % 40 === 0 ? { walTornTail: 1 } : {}),
          // Common, with pauses.
          ...(crashes ? {} : { leaseDroppedByClock: 1 }),
        },
      }),
    );
  }
  const { crash = 1, pause = 1, storm = 1 } = adaptation.weights();
  expect(crash).toBeGreaterThan(storm);
  expect(pause).toBeLessThan(1);
  expect(crash).toBeLessThanOrEqual(4);
});
