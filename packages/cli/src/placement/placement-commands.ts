/** The commands of placement: `store …`, `range move` and `events`. Definitions only; the work is in the files beside. */
import type { Command } from 'commander';
import { addSettings, configOf, connectionKeys, example, wholeNumber } from '../command-parts.ts';
import type { Output } from '../output.ts';
import type { ConfigureWishes } from './range-configure.ts';

type Finish = (code: number) => void;

export function addStore(program: Command, output: Output, finish: Finish): void {
  const store = program
    .command('store')
    .description('what stores say of themselves, and what they are wanted to do')
    .addHelpText('after', example('flotilla store status'));
  const status = store
    .command('status')
    .description(
      'show every store that ever joined: alive or silent, how full, what is wanted of it',
    )
    .option('--json', 'one JSON document instead of a table')
    .option('--timeout <seconds>', 'how long it may take', wholeNumber, 10)
    .addHelpText('after', example('flotilla store status --nats nats://10.0.0.1:4222'));
  addSettings(status, connectionKeys);
  status.action(async () => {
    const config = configOf(status);
    const { json, timeout } = status.opts<{ json?: boolean; timeout: number }>();
    const { runStoreStatus } = await import('./store-command.ts');
    finish(
      await runStoreStatus(config, { json: json ?? false, timeoutMs: timeout * 1000 }, output),
    );
  });
  const wishes = [
    ['drain', 'move all leases off a store, and give it nothing new, so that it may be stopped'],
    ['undrain', 'let a store have leases and replicas again'],
    ['decommission', 'move everything off a store, so that it may be taken away for good'],
  ] as const;
  for (const [wish, description] of wishes) {
    const command = store
      .command(wish)
      .description(description)
      .argument('<store>', 'number of the store', wholeNumber)
      .option('--timeout <seconds>', 'how long to wait for it', wholeNumber, 600)
      .addHelpText('after', example(`flotilla store ${wish} 3 --nats nats://10.0.0.1:4222`));
    addSettings(command, connectionKeys);
    command.action(async (storeId: number) => {
      const config = configOf(command);
      const { timeout } = command.opts<{ timeout: number }>();
      const { runStoreWish } = await import('./store-command.ts');
      finish(await runStoreWish(config, { storeId, wish, timeoutMs: timeout * 1000 }, output));
    });
  }
}

export function addMove(range: Command, output: Output, finish: Finish): void {
  const command = range
    .command('move')
    .description('move a replica of a range to another store; balancing goes on afterwards')
    .argument('<range>', 'number of the range', wholeNumber)
    .requiredOption('--from <store>', 'the store that is to lose its replica', wholeNumber)
    .requiredOption('--to <store>', 'the store that is to get one', wholeNumber)
    .option('--timeout <seconds>', 'how long it may take', wholeNumber, 600)
    .addHelpText('after', example('flotilla range move 5 --from 1 --to 4'));
  addSettings(command, connectionKeys);
  command.action(async (rangeId: number) => {
    const config = configOf(command);
    const { from, to, timeout } = command.opts<{ from: number; to: number; timeout: number }>();
    const { runMove } = await import('./range-move.ts');
    finish(await runMove(config, { rangeId, from, to, timeoutMs: timeout * 1000 }, output));
  });
}

export function addTop(program: Command, output: Output, finish: Finish): void {
  const command = program
    .command('top')
    .description(
      'what the cluster does now: stores, busy ranges, long transactions, hot keys, events',
    )
    .option('--once', 'one picture, and end')
    .option('--json', 'one JSON document per picture instead of tables')
    .option('--rows <n>', 'so many of each list at most', wholeNumber, 10)
    .option('--timeout <seconds>', 'how long nats-server may take to answer', wholeNumber, 10)
    .addHelpText('after', example('flotilla top --nats nats://10.0.0.1:4222'));
  addSettings(command, connectionKeys);
  command.action(async () => {
    const config = configOf(command);
    const { once, json, rows, timeout } = command.opts<{
      once?: boolean;
      json?: boolean;
      rows: number;
      timeout: number;
    }>();
    const { runTop } = await import('../top/top-command.ts');
    const shown = { once: once ?? false, json: json ?? false, rows };
    finish(await runTop(config, { ...shown, timeoutMs: timeout * 1000 }, output));
  });
}

export function addConfigure(range: Command, output: Output, finish: Finish): void {
  const command = range
    .command('configure')
    .description(
      'what is wanted of the ranges of a span; without a wish: show what is, of all spans',
    )
    .option(
      '--system',
      'the span of what the cluster keeps of itself: where ranges are, SQL catalog',
    )
    .option('--default', 'the span of everything: for what no narrower span says otherwise')
    .option('--start <hex>', 'where the span begins, as `status --json` shows keys')
    .option('--end <hex>', 'where it ends; default: with the keys that begin as --start')
    .option('--replicas <n>', 'replicas of each range: 1, 3, 5, 7, or default')
    .option('--split-bytes <size>', 'a range that holds more is cut: 16MiB, or default')
    .option('--lease-zone <name>', 'the zone whose stores should lead, or default')
    .option('--timeout <seconds>', 'how long it may take', wholeNumber, 10)
    .addHelpText(
      'after',
      example(
        'flotilla range configure --start 08 --replicas 5',
        'flotilla range configure --default --replicas 5',
      ),
    );
  addSettings(command, connectionKeys);
  command.action(async () => {
    const config = configOf(command);
    const { timeout, ...wishes } = command.opts<ConfigureWishes & { timeout: number }>();
    const { runConfigure } = await import('./range-configure.ts');
    finish(await runConfigure(config, { ...wishes, timeoutMs: timeout * 1000 }, output));
  });
}

export function addEvents(program: Command, output: Output, finish: Finish): void {
  const command = program
    .command('events')
    .description('what happened and what placement decided, and why, the newest last')
    .option('--limit <n>', 'so many at most', wholeNumber, 50)
    .option('--before <number>', 'of those before this one, as `--json` numbers them', wholeNumber)
    .option('--json', 'one JSON object per line')
    .option('--timeout <seconds>', 'how long it may take', wholeNumber, 10)
    .addHelpText('after', example('flotilla events --limit 20 --nats nats://10.0.0.1:4222'));
  addSettings(command, connectionKeys);
  command.action(async () => {
    const config = configOf(command);
    const { limit, before, json, timeout } = command.opts<{
      limit: number;
      before?: number;
      json?: boolean;
      timeout: number;
    }>();
    const { runEvents } = await import('./events-command.ts');
    const page = before === undefined ? { limit } : { limit, before };
    const request = { ...page, json: json ?? false, timeoutMs: timeout * 1000 };
    finish(await runEvents(config, request, output));
  });
}
