/** Foreground mode: watches the processes until a signal asks to stop. Reports deaths; restarts nothing. */
import { join } from 'node:path';
import { type DemoPlaces, restartCommand } from './demo-plan.ts';
import { loadState, type ManagedProcess } from './demo-state.ts';
import { isAlive } from './process-identity.ts';

const pollMs = 500;

/** Resolves at the first SIGINT or SIGTERM, or when no process of the demo is left. */
export async function supervise(places: DemoPlaces, say: (line: string) => void): Promise<void> {
  const reported = new Set<string>();
  const check = (): boolean => {
    const processes = loadState(places.data)?.processes ?? [];
    for (const entry of processes) reportDeath(entry);
    return processes.some((entry) => isAlive(entry));
  };
  const reportDeath = (entry: ManagedProcess): void => {
    const key = `${entry.name} ${entry.pid} ${entry.startTime}`;
    if (reported.has(key) || isAlive(entry)) return;
    reported.add(key);
    say(
      `${entry.name} (process ${entry.pid}) has ended; its log: ` +
        `${join(places.data, 'logs', `${entry.name}.log`)}; again: ${restartCommand(places, entry.name)}`,
    );
  };
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (!check()) end();
    }, pollMs);
    const end = (): void => {
      clearInterval(timer);
      process.removeListener('SIGINT', end);
      process.removeListener('SIGTERM', end);
      // From here on a second Ctrl-C ends this program at once; the processes it started go on stopping.
      resolve();
    };
    process.once('SIGINT', end);
    process.once('SIGTERM', end);
  });
}
