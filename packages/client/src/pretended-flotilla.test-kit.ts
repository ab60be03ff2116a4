/** A client over pretended stores that know transactions, in real time: what tests of the whole client begin with. */
import { MemoryNetwork, SeededPrng, SystemClock } from '@flotilla/base';
import { createRouter } from '@flotilla/router';
import { FakeTransactionCluster } from '@flotilla/router/testing';
import { createFlotilla } from './create-flotilla.ts';
import type { Flotilla } from './flotilla.ts';

export async function pretendFlotilla(): Promise<{
  readonly cluster: FakeTransactionCluster;
  readonly db: Flotilla;
}> {
  const clock = new SystemClock();
  const network = new MemoryNetwork({ clock });
  const cluster = new FakeTransactionCluster(network, clock, []);
  const prng = new SeededPrng(1);
  const router = createRouter({ transport: network.connect('client'), clock, prng });
  return { cluster, db: await createFlotilla({ router, clock, prng }) };
}
