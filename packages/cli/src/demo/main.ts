/**
 * Entry of bin/demo once the checkout is built. Standard output carries only what was asked for (the JSON line, a pid,
 * or the text for people); progress goes to standard error.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ExitCode } from '@flotilla/base';
import { UsageError } from '../usage-error.ts';
import { withDemoLock } from './demo-lock.ts';
import { type DemoOptions, parseDemoOptions } from './demo-options.ts';
import type { DemoPlaces } from './demo-plan.ts';
import { loadState } from './demo-state.ts';
import { describeForPeople, describeForPrograms } from './describe-demo.ts';
import { LaunchError } from './launch.ts';
import { isAlive } from './process-identity.ts';
import { restartProcess, type StartedDemo, type StartOptions, startDemo } from './start-demo.ts';
import { stopDemo } from './stop-demo.ts';
import { supervise } from './supervise-demo.ts';

const stopGraceMs = 10_000;
const lockWaitMs = 30_000;

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function main(): Promise<number> {
  const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');
  const options = parseDemoOptions(process.argv.slice(2), root);
  const places: DemoPlaces = { root, data: options.data };
  if (typeof options.action === 'object') {
    const name = options.action.restart;
    const pid = await withDemoLock(places.data, lockWaitMs, () => restartProcess(places, name));
    process.stdout.write(`${pid}\n`);
    return ExitCode.ok;
  }
  if (options.action === 'stop') return stop(places);
  return start(places, options);
}

async function start(places: DemoPlaces, options: DemoOptions): Promise<number> {
  say(`Flotilla demo: starting (data in ${places.data})`);
  const natsServer = process.env.FLOTILLA_NATS_SERVER;
  const { state, wasRunning } = await withDemoLock(places.data, lockWaitMs, () =>
    startOrLeaveNothing(places, {
      places,
      stores: options.stores,
      port: options.port,
      transport: options.transport,
      together: options.together,
      natsServer: natsServer === '' ? undefined : natsServer,
      say,
    }),
  );
  if (wasRunning) say('  it is running already; nothing was started');
  process.stdout.write(
    options.json
      ? `${JSON.stringify(describeForPrograms(places, state))}\n`
      : describeForPeople(places, state),
  );
  if (options.action === 'background') {
    if (!options.json) say('It runs in the background; ./bin/demo --stop ends it.');
    return ExitCode.ok;
  }
  say('Ctrl-C stops it.');
  await supervise(places, say);
  return stop(places);
}

/** A start that fails takes down what it had started: a half of a cluster is of no use to anyone. */
async function startOrLeaveNothing(
  places: DemoPlaces,
  options: StartOptions,
): Promise<StartedDemo> {
  const before = loadState(places.data)?.processes ?? [];
  try {
    return await startDemo(options);
  } catch (error) {
    const state = loadState(places.data);
    if (state !== undefined && !before.some((entry) => isAlive(entry))) {
      await stopDemo(places.data, state, { graceMs: stopGraceMs });
    }
    throw error;
  }
}

async function stop(places: DemoPlaces): Promise<number> {
  return withDemoLock(places.data, lockWaitMs, async () => {
    const state = loadState(places.data);
    if (state === undefined) {
      say(`There is no demo in ${places.data}.`);
      return ExitCode.ok;
    }
    const startedAt = performance.now();
    const { stopped, killed } = await stopDemo(places.data, state, { graceMs: stopGraceMs });
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    if (stopped.length + killed.length === 0) say('The demo was not running.');
    else say(`Stopped ${[...stopped, ...killed].join(', ')} in ${seconds} s.`);
    if (killed.length === 0) return ExitCode.ok;
    say(`Killed, because they did not end within ${stopGraceMs / 1000} s: ${killed.join(', ')}.`);
    return ExitCode.failure;
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof UsageError) {
    say(`demo: ${error.message}`);
    process.exitCode = error.exitCode;
  } else if (error instanceof LaunchError) {
    say(`demo: ${error.message}`);
    process.exitCode = ExitCode.failure;
  } else {
    throw error;
  }
}
