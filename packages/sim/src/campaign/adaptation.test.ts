import { expect, it } from 'vitest';
import { onRequest, swarmOf } from '../swarm.ts';
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

it('asks for classes that no seed has by itself, and goes on asking', () => {
  const adaptation = new Adaptation();
  for (let seed = 1; seed <= 60; seed++) {
    const probes = seed % 20 === 0 ? { walTornTail: 1 } : {};
    adaptation.add(reportOf(seed, { faults: { crash: 1 }, probes }));
  }
  const asked = adaptation.weights();
  for (const name of onRequest) expect(asked[name]).toBe(1);
  const swarms = Array.from({ length: 40 }, (_, seed) => swarmOf(seed, asked));
  for (const name of onRequest)
    expect(swarms.some(({ faultClasses }) => faultClasses.includes(name))).toBe(true);
  // Seen by now, and worth as much as all others.
  for (let seed = 61; seed <= 120; seed++) {
    const probes = seed % 20 === 0 ? { walTornTail: 1 } : {};
    adaptation.add(reportOf(seed, { faults: { crash: 1, bridge: 1 }, probes }));
  }
  expect(adaptation.weights().bridge).toBe(1);
});
