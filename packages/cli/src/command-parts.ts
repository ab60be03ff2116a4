/** What the definitions of all commands share: settings as options, numbers, examples. */
import { readFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { loadConfig } from './config/load-config.ts';
import { environmentName, type ProcessConfig, settings } from './config/settings.ts';

/** The keys that every command which talks to a cluster takes. */
export const connectionKeys = [
  'nats',
  'nats-user',
  'nats-password',
  'nats-token',
  'nats-nkey-seed',
  'nats-credentials',
  'nats-ca',
  'nats-cert',
  'nats-key',
  'cluster',
] as const;

export function addSettings(command: Command, keys: readonly string[]): void {
  for (const setting of settings) {
    if (!keys.includes(setting.key)) continue;
    const flags =
      setting.argument === undefined ? `--${setting.key}` : `--${setting.key} ${setting.argument}`;
    const fallback = setting.defaultText === undefined ? '' : ` (default: ${setting.defaultText})`;
    command.addOption(new Option(flags, `${setting.description}${fallback}`));
  }
  command.option('--config <file>', 'YAML or JSON file with the same keys as the flags');
  command.addHelpText(
    'after',
    `\nEach setting can also come from the environment (${environmentName(keys[0] ?? 'nats')}) or the config file.` +
      '\nFlags win over the environment, the environment over the file.',
  );
}

export function configOf(command: Command): ProcessConfig {
  const options: Record<string, unknown> = command.opts();
  const flags: Record<string, unknown> = {};
  for (const option of command.options) {
    const value = options[option.attributeName()];
    if (value !== undefined) flags[option.name()] = value;
  }
  return loadConfig({
    flags,
    environment: process.env,
    readFile: (path) => readFileSync(path, 'utf8'),
    hostName: hostname(),
    temporaryDirectory: tmpdir(),
  });
}

export function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a whole number from 1.');
}

export function example(...lines: readonly string[]): string {
  return `\nExample:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}
