/** The arguments of bin/demo. Its help text is in the shell script, where it can be read before anything is built. */
import { isAbsolute, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from '../usage-error.ts';

export interface DemoOptions {
  readonly action: 'foreground' | 'background' | 'stop' | { readonly restart: string };
  readonly data: string;
  readonly stores: number | undefined;
  readonly port: number | undefined;
  readonly transport: 'nats' | 'memory' | undefined;
  readonly together: boolean;
  readonly json: boolean;
}

/** @throws UsageError that names the argument */
export function parseDemoOptions(args: readonly string[], root: string): DemoOptions {
  const values = parse(args);
  const actions = [values.background, values.stop, values.restart !== undefined].filter(Boolean);
  if (actions.length > 1) {
    throw new UsageError('--background, --stop and --restart exclude each other');
  }
  const data = values.data ?? join(root, '.flotilla/demo');
  const transport = values.transport;
  if (transport !== undefined && transport !== 'nats' && transport !== 'memory') {
    throw new UsageError(`--transport is "${transport}": expected nats or memory`);
  }
  if (values.together === true && transport === 'memory')
    throw new UsageError('--together needs processes of their own: not with --transport memory');
  return {
    action: action(values),
    data: isAbsolute(data) ? data : resolve(data),
    stores: wholeNumber('--stores', values.stores, 1, 9),
    port: wholeNumber('--port', values.port, 0, 65_535),
    transport,
    together: values.together ?? false,
    json: values.json ?? false,
  };
}

interface RawOptions {
  readonly background?: boolean | undefined;
  readonly stop?: boolean | undefined;
  readonly restart?: string | undefined;
  readonly stores?: string | undefined;
  readonly data?: string | undefined;
  readonly port?: string | undefined;
  readonly transport?: string | undefined;
  readonly together?: boolean | undefined;
  readonly json?: boolean | undefined;
}

function parse(args: readonly string[]): RawOptions {
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        background: { type: 'boolean' },
        stop: { type: 'boolean' },
        restart: { type: 'string' },
        stores: { type: 'string' },
        data: { type: 'string' },
        port: { type: 'string' },
        transport: { type: 'string' },
        together: { type: 'boolean' },
        json: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${reason} (./bin/demo --help lists the options)`);
  }
}

function action(values: RawOptions): DemoOptions['action'] {
  if (values.restart !== undefined) return { restart: values.restart };
  if (values.stop === true) return 'stop';
  return values.background === true ? 'background' : 'foreground';
}

function wholeNumber(
  name: string,
  text: string | undefined,
  least: number,
  most: number,
): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(`${name} is "${text}": expected a whole number from ${least} to ${most}`);
}
