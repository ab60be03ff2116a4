import { describe, it } from 'vitest';
import { engineCases } from '../testing/engine-suite.ts';
import { VolatileEngine } from './volatile-engine.ts';

describe('the engine that keeps nothing', () => {
  it.each(engineCases)('$name', async ({ run }) => {
    const engine = new VolatileEngine();
    // It ends with its process: there is no machine that finds it afterwards. What can be asked is that it keeps its state.
    await run({ engine, afterPowerLoss: async () => engine });
  });
});
