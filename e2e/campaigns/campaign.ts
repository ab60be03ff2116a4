/**
 * The frame of every campaign: options with `--help`, figures and promises as a table and one line of JSON, and an exit
 * code: 0 kept, 1 a promise broken, 2 used wrongly. Whatever ends a campaign, no process of it stays.
 */
import { parseArgs } from 'node:util';
import { ProcessCluster, type ProcessClusterOptions } from '../harness/process-cluster.ts';

export interface Knob {
  readonly byDefault: string;
  readonly text: string;
}

export interface CampaignDefinition {
  readonly name: string;
  /** What it proves: a few lines. */
  readonly about: string;
  readonly knobs: Readonly<Record<string, Knob>>;
}

interface Promised {
  readonly promise: string;
  readonly found: string;
  readonly kept: boolean;
}

export class Campaign {
  readonly name: string;
  private readonly values: ReadonlyMap<string, string>;
  private readonly keepData: boolean;
  private readonly beganAt = performance.now();
  private readonly promises: Promised[] = [];
  private readonly figures: Record<string, unknown> = {};
  private readonly clusters: ProcessCluster[] = [];

  constructor(name: string, values: ReadonlyMap<string, string>, keepData: boolean) {
    this.name = name;
    this.values = values;
    this.keepData = keepData;
  }

  /** A whole number or a fraction >= 0. @throws UsageProblem */
  number(knob: string): number {
    return toNumber(knob, this.text(knob));
  }

  /** Numbers separated by commas. */
  numbers(knob: string): readonly number[] {
    return this.text(knob)
      .split(',')
      .map((part) => toNumber(knob, part));
  }

  text(knob: string): string {
    const value = this.values.get(knob);
    if (value === undefined) throw new Error(`the campaign has no --${knob}`);
    return value;
  }

  /** A cluster that ends with the campaign. */
  async cluster(options: ProcessClusterOptions): Promise<ProcessCluster> {
    const cluster = await ProcessCluster.start(options);
    this.clusters.push(cluster);
    return cluster;
  }

  /** One line of what is going on. */
  say(what: string): void {
    const seconds = ((performance.now() - this.beganAt) / 1000).toFixed(1).padStart(7);
    process.stdout.write(`[${this.name}] ${seconds} s  ${what}\n`);
  }

  figure(name: string, value: unknown): void {
    this.figures[name] = value;
    this.say(`${name}: ${typeof value === 'object' ? JSON.stringify(value) : value}`);
  }

  /** Notes whether a promise is kept; the campaign goes on either way. */
  promise(promise: string, kept: boolean, found: string): void {
    this.promises.push({ promise, found, kept });
    this.say(`${kept ? 'kept' : 'BROKEN'}: ${promise}: ${found}`);
  }

  /** @param kept undefined = kept; otherwise what is wrong */
  holds(promise: string, wrong: string | undefined, right = 'yes'): void {
    this.promise(promise, wrong === undefined, wrong ?? right);
  }

  /** No process may have ended by itself, whatever the campaign was about. Ends all clusters. */
  async end(failure: unknown): Promise<number> {
    const accidents = this.clusters.flatMap((cluster) => cluster.accidents);
    if (this.clusters.length > 0)
      this.holds(
        'no process ends by itself',
        accidents.length > 0 ? accidents.join('; ') : undefined,
      );
    if (failure !== undefined) this.promise('the campaign runs to its end', false, textOf(failure));
    const kept = this.promises.every((promised) => promised.kept);
    const keepData = this.keepData;
    await Promise.all(this.clusters.map((cluster) => cluster.stop({ keepData })));
    if (keepData) for (const { data } of this.clusters) this.say(`data and logs: ${data}`);
    process.stdout.write(`\n${table(this.promises)}\n`);
    const { name, promises, figures } = this;
    const options = Object.fromEntries(this.values);
    process.stdout.write(
      `${JSON.stringify({ campaign: name, kept, options, figures, promises })}\n`,
    );
    return kept ? 0 : 1;
  }

  killAll(): void {
    for (const cluster of this.clusters) cluster.killAll();
  }
}

class UsageProblem extends Error {}

function toNumber(knob: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new UsageProblem(`--${knob} is "${text}": expected a number >= 0`);
  return value;
}

function table(promises: readonly Promised[]): string {
  const width = Math.max(...promises.map(({ promise }) => promise.length));
  return promises
    .map(
      ({ promise, found, kept }) =>
        `${kept ? 'ok    ' : 'BROKEN'}  ${promise.padEnd(width)}  ${found}`,
    )
    .join('\n');
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : ` (${textOf(error.cause)})`;
  return `${error.message}${cause}`;
}

/** Runs a campaign as the program that this process is, and ends the process. */
export async function runCampaign(
  definition: CampaignDefinition,
  body: (campaign: Campaign) => Promise<void>,
): Promise<never> {
  const { name, knobs } = definition;
  let parsed: { readonly values: Readonly<Record<string, string | boolean | undefined>> };
  try {
    parsed = parseArgs({ options: optionsOf(knobs) });
  } catch (error) {
    process.stderr.write(`${textOf(error)}\nTry --help.\n`);
    process.exit(2);
  }
  const { values } = parsed;
  if (values.help === true) {
    process.stdout.write(help(definition));
    process.exit(0);
  }
  const texts = Object.entries(knobs).map(
    ([knob, { byDefault }]) => [knob, String(values[knob] ?? byDefault)] as const,
  );
  const campaign = new Campaign(name, new Map(texts), values.keep === true);
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      campaign.killAll();
      process.exit(1);
    });
  process.once('uncaughtException', (error) => {
    process.stderr.write(`${error.stack}\n`);
    campaign.killAll();
    process.exit(1);
  });
  let failure: unknown;
  try {
    await body(campaign);
  } catch (error) {
    if (error instanceof UsageProblem) {
      process.stderr.write(`${error.message}\nTry --help.\n`);
      campaign.killAll();
      process.exit(2);
    }
    failure = error ?? 'failed without an error';
  }
  process.exit(await campaign.end(failure));
}

function optionsOf(
  knobs: Readonly<Record<string, Knob>>,
): Record<string, { type: 'string' | 'boolean' }> {
  return {
    ...Object.fromEntries(Object.keys(knobs).map((knob) => [knob, { type: 'string' as const }])),
    keep: { type: 'boolean' },
    help: { type: 'boolean' },
  };
}

function help({ name, about, knobs }: CampaignDefinition): string {
  const lines = Object.entries(knobs).map(
    ([knob, { byDefault, text }]) => `  ${`--${knob} X`.padEnd(22)} ${text} (default ${byDefault})`,
  );
  return `Usage: pnpm ${name} [options]

${about}

Build first (pnpm run build). Needs nats-server and /proc. Prints figures, a table of promises and one line of JSON.
Exit code: 0 every promise kept, 1 one broken, 2 used wrongly.

${lines.join('\n')}
  ${'--keep'.padEnd(22)} leave data and logs behind, and say where
  ${'--help'.padEnd(22)} this text
`;
}
