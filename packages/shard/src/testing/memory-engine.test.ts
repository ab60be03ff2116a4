import { SeededPrng } from '@flotilla/base';
import { engineSuite } from './engine-suite.ts';
import { MemoryEngine } from './memory-engine.ts';

engineSuite('memory', async () => {
  const engine = new MemoryEngine();
  return {
    engine,
    afterPowerLoss: async () => engine.crash(new SeededPrng(1)),
    cleanUp: async () => {},
  };
});
