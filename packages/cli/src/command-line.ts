/**
 * The `flotilla` command: its sub-commands, their flags and help. Each sub-command's work is in a file of its own;
 * what starts there is loaded only when it is asked for, so that `--help` and `version` stay quick.
 */
import { ExitCode } from '@flotilla/base';
import { Command, CommanderError } from 'commander';
import { addSettings, configOf, connectionKeys, example, wholeNumber } from './command-parts.ts';
import { settings } from './config/settings.ts';
import type { Output } from './output.ts';
import {
  addConfigure,
  addEvents,
  addMove,
  addStore,
  addTop,
} from './placement/placement-commands.ts';
import { UsageError } from './usage-error.ts';
import { version } from './version.ts';

/**
 * Runs one command line to its end.
 * @param args without node and script
 * @returns the exit code; errors that are the caller's are printed, all others are thrown
 */
export async function runCommandLine(args: readonly string[], output: Output): Promise<number> {
  let code: number = ExitCode.ok;
  const program = createProgram(output, (result) => {
    code = result;
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof UsageError) {
      output.err(`flotilla: ${error.message}\n`);
      return error.exitCode;
    }
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage; // commander has printed it
    }
    throw error;
  }
}

function createProgram(output: Output, finish: (code: number) => void): Command {
  const program = new Command('flotilla')
    .description('A sharded, replicated SQL database that speaks the Postgres wire protocol.')
    .version(version, '--version', 'print the version')
    .configureOutput({ writeOut: output.out, writeErr: output.err })
    .showHelpAfterError('(add --help for the list of options)')
    .enablePositionalOptions()
    .exitOverride();
  addStart(program, finish);
  addInit(program, output, finish);
  addStatus(program, output, finish);
  addRange(program, output, finish);
  addStore(program, output, finish);
  addTop(program, output, finish);
  addEvents(program, output, finish);
  addSql(program, finish);
  program
    .command('version')
    .description('print the version of this build')
    .addHelpText('after', example('flotilla version'))
    .action(() => output.out(`flotilla ${version} (node ${process.versions.node})\n`));
  addInProcessCluster(program, finish);
  program.addHelpText('after', example('flotilla start --store-id 1 --data /var/lib/flotilla'));
  return program;
}

function addStart(program: Command, finish: (code: number) => void): void {
  const command = program
    .command('start')
    .description('run one process: a store, a gateway, or both')
    .addHelpText(
      'after',
      example(
        'flotilla start --roles store --store-id 1 --data /var/lib/flotilla --nats nats://10.0.0.1:4222',
        'flotilla start --roles gateway --listen 0.0.0.0:26432 --nats nats://10.0.0.1:4222',
      ),
    );
  addSettings(
    command,
    settings.map((setting) => setting.key),
  );
  command.action(async () => {
    const config = configOf(command);
    const { runStart } = await import('./start-command.ts');
    finish(await runStart(config));
  });
}

function addInit(program: Command, output: Output, finish: (code: number) => void): void {
  const command = program
    .command('init')
    .description('found a new cluster on stores that are running; harmless to repeat')
    .requiredOption('--stores <n>', 'how many stores the cluster is founded with', wholeNumber)
    .option('--ranges <n>', 'how many ranges the key space is cut into at first', wholeNumber)
    .option('--timeout <seconds>', 'how long to wait for them', wholeNumber, 60)
    .addHelpText('after', example('flotilla init --nats nats://10.0.0.1:4222 --stores 3'));
  addSettings(command, connectionKeys);
  command.action(async () => {
    const config = configOf(command);
    const { runInit, rangesOf } = await import('./init-command.ts');
    const options = command.opts<{ stores: number; ranges?: number; timeout: number }>();
    const { stores, timeout } = options;
    const request = { stores, ranges: rangesOf(options.ranges), timeoutMs: timeout * 1000 };
    finish(await runInit(config, request, output));
  });
}

function addStatus(program: Command, output: Output, finish: (code: number) => void): void {
  const command = program
    .command('status')
    .description('show stores and ranges: who leads, how far each replica is, who does not answer')
    .option('--json', 'one JSON document instead of tables')
    .option('--watch', 'again every two seconds, until Ctrl-C')
    .option('--all-ranges', 'every range, where there are so many that only what is wrong is shown')
    .option(
      '--timeout <seconds>',
      'how long nats-server, then each store, may take to answer',
      wholeNumber,
      2,
    )
    .addHelpText('after', example('flotilla status --nats nats://10.0.0.1:4222 --watch'));
  addSettings(command, connectionKeys);
  command.action(async () => {
    const config = configOf(command);
    const { runStatus } = await import('./status/status-command.ts');
    const options = command.opts<{
      json?: boolean;
      watch?: boolean;
      allRanges?: boolean;
      timeout: number;
    }>();
    const request = {
      json: options.json ?? false,
      watch: options.watch ?? false,
      allRanges: options.allRanges ?? false,
      timeoutMs: options.timeout * 1000,
    };
    finish(await runStatus(config, request, output));
  });
}

function addRange(program: Command, output: Output, finish: (code: number) => void): void {
  const range = program.command('range').description('what may be done to single ranges');
  const command = range
    .command('transfer')
    .description('let another store lead a range; balancing may bring it back later')
    .argument('<range>', 'number of the range', wholeNumber)
    .requiredOption('--to <store>', 'the store that is to lead it', wholeNumber)
    .option('--timeout <seconds>', 'how long it may take', wholeNumber, 10)
    .addHelpText('after', example('flotilla range transfer 5 --to 2 --nats nats://10.0.0.1:4222'));
  range.addHelpText('after', example('flotilla range transfer 5 --to 2'));
  addSettings(command, connectionKeys);
  command.action(async (rangeId: number) => {
    const config = configOf(command);
    const { runTransfer } = await import('./range-command.ts');
    const { to, timeout } = command.opts<{ to: number; timeout: number }>();
    finish(await runTransfer(config, { rangeId, to, timeoutMs: timeout * 1000 }, output));
  });
  addMove(range, output, finish);
  addSplit(range, output, finish);
  addConfigure(range, output, finish);
}

function addSplit(range: Command, output: Output, finish: (code: number) => void): void {
  const command = range
    .command('split')
    .description('cut the range that holds a key, so that another one begins with the key')
    .option('--key <text>', 'a key of the SDK')
    .option('--at <hex>', 'any key, as status --json shows them')
    .option('--timeout <seconds>', 'how long it may take', wholeNumber, 10)
    .addHelpText('after', example('flotilla range split --key user/5000'));
  addSettings(command, connectionKeys);
  command.action(async () => {
    const config = configOf(command);
    const { runSplit } = await import('./range-command.ts');
    const { key, at, timeout } = command.opts<{ key?: string; at?: string; timeout: number }>();
    finish(await runSplit(config, { key, at, timeoutMs: timeout * 1000 }, output));
  });
}

function addSql(program: Command, finish: (code: number) => void): void {
  const command = program
    .command('sql')
    .description('open psql on a gateway; everything after the options is for psql')
    .argument('[psql-arguments...]')
    .passThroughOptions()
    .allowUnknownOption()
    .addHelpText(
      'after',
      example('flotilla sql', "flotilla sql --listen 127.0.0.1:26432 -c 'SELECT 1'"),
    );
  addSettings(command, ['listen']);
  command.action(async (args: string[]) => {
    const config = configOf(command);
    const { runSql } = await import('./sql-command.ts');
    finish(await runSql(config, args));
  });
}

/** What bin/demo runs where there is no nats-server. Not for people, hence hidden. */
function addInProcessCluster(program: Command, finish: (code: number) => void): void {
  const command = program
    .command('in-process-cluster', { hidden: true })
    .description('run several stores and a gateway in one process, over an in-memory network')
    .requiredOption('--stores <n>', 'number of stores', wholeNumber)
    .addHelpText('after', example('flotilla in-process-cluster --stores 3 --data /tmp/cluster'));
  addSettings(command, ['data', 'listen', 'log-level', 'log-pretty', 'ready-file']);
  command.action(async () => {
    const config = configOf(command);
    const { runInProcessCluster } = await import('./start-command.ts');
    const { stores } = command.opts<{ stores: number }>();
    finish(await runInProcessCluster(config, stores));
  });
}
