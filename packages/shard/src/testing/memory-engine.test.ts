import { SeededPrng } from '@flotilla/base';
import { describe, it } from 'vitest';
import { engineCases } from './engine-suite.ts';
import { MemoryEngine } from './memory-engine.ts';

describe('the engine in memory', () => {
  it.each(engineCases)('$name', async ({ run }) => {
    const engine = new MemoryEngine();
    await run({ engine, afterPowerLoss: async () => engine.crash(new SeededPrng(1)) });
  });
});
