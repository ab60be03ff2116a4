/**
 * Several stores and a gateway in one process, over an in-memory network: what the demo runs where there is no
 * nats-server. Same composition root, same stores, same files; only the network differs, and one process dying takes
 * everything with it.
 */
import { join } from 'node:path';
import { ClosingSteps, type Logger, MemoryNetwork, osPrng, SystemClock } from '@flotilla/base';
import type { ProcessConfig } from './config/settings.ts';
import { foundCluster } from './init-command.ts';
import type { RunningProcess } from './process-parts.ts';
import { startProcess } from './start-process.ts';

export interface InProcessOptions {
  readonly stores: number;
  readonly logger: Logger;
  readonly signal?: AbortSignal;
  readonly onFatal: (error: Error) => void;
}

/** Starts the stores, founds the cluster if it is not, then starts the gateway. */
export async function startInProcessCluster(
  config: ProcessConfig,
  options: InProcessOptions,
): Promise<RunningProcess> {
  const clock = new SystemClock();
  const network = new MemoryNetwork({ clock });
  const running: RunningProcess[] = [];
  const closing = new ClosingSteps();
  closing.add(async () => {
    await Promise.all(running.map((one) => one.stop()));
  });
  try {
    for (let id = 1; id <= options.stores; id++) {
      const store = {
        ...{ ...config, roles: ['store'] as const, storeId: id, machine: `machine-${id}` },
        // One address cannot be every store's: the gateway has it.
        http: undefined,
      };
      running.push(
        await startProcess(
          { ...store, data: join(config.data, `store-${id}`) },
          {
            ...options,
            clock,
            logger: options.logger.child({ storeId: id }),
            transport: network.connect(`store-${id}`),
          },
        ),
      );
    }
    const init = network.connect('init');
    const prng = osPrng();
    await foundCluster({ transport: init, clock, prng, stores: options.stores, timeoutMs: 30_000 });
    await init.close();
    const gateway = await startProcess(
      { ...config, roles: ['gateway'] },
      { ...options, clock, transport: network.connect('gateway') },
    );
    closing.add(() => gateway.stop());
    return { storeId: undefined, gateway: gateway.gateway, stop: () => closing.run() };
  } catch (error) {
    return closing.runAfter(error);
  }
}
