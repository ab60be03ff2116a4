/** Takes a demo down in the order in which its parts need each other: gateways, stores together, nats-server last. */
import { type DemoState, type ManagedProcess, saveState } from './demo-state.ts';
import { isAlive, signal, waitForEnd } from './process-identity.ts';

export interface StopResult {
  /** Names of the processes that ended when asked. */
  readonly stopped: readonly string[];
  /** Names of those that had to be killed after `graceMs`. */
  readonly killed: readonly string[];
}

/** Asks with SIGTERM, kills after `graceMs`. Signals only processes that are surely ours. */
export async function stopDemo(
  data: string,
  state: DemoState,
  options: { readonly graceMs: number },
): Promise<StopResult> {
  const stopped: string[] = [];
  const killed: string[] = [];
  for (const role of ['gateway', 'store', 'nats'] as const) {
    const group = state.processes.filter((entry) => entry.role === role && isAlive(entry));
    await Promise.all(
      group.map(async (entry) => {
        const clean = await stopOne(entry, options.graceMs);
        (clean ? stopped : killed).push(entry.name);
      }),
    );
  }
  saveState(data, { ...state, processes: [] });
  return { stopped, killed };
}

async function stopOne(entry: ManagedProcess, graceMs: number): Promise<boolean> {
  signal(entry, 'SIGTERM');
  signal(entry, 'SIGCONT'); // a stopped process hears SIGTERM only when it runs
  if (await waitForEnd(entry, graceMs)) return true;
  signal(entry, 'SIGKILL');
  await waitForEnd(entry, 5_000);
  return false;
}
