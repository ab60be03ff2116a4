import { ExitCode } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { runCommandLine } from './command-line.ts';

async function run(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runCommandLine(args, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { code, out, err };
}

describe('the command line', () => {
  it.each([
    [['nonsense'], /unknown command 'nonsense'/],
    [['start', '--nonsense'], /unknown option '--nonsense'/],
    [['start', '--listen', 'nowhere'], /--listen is "nowhere": expected HOST:PORT/],
    [['start', '--listen'], /argument missing/],
    [['start', '--store-id', '0'], /--store-id is "0": expected a whole number from 1/],
    [
      ['start', '--config', '/nonexistent/f.yaml'],
      /config file \/nonexistent\/f\.yaml cannot be read/,
    ],
    [['start', 'extra'], /too many arguments/],
    [['init'], /required option '--stores <n>' not specified/],
    [['init', '--stores', 'three'], /'three' is invalid. Expected a whole number/],
    [['init', '--stores', '0'], /Expected a whole number from 1/],
    [['status', '--cluster', 'a.b'], /--cluster is "a\.b"/],
    [[], /Usage: flotilla/],
  ])('refuses %j with 64, and says why', async (args, text) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: ExitCode.usage, out: '' });
    expect(err).toMatch(text);
  });

  it.each([[['--help']], [['help', 'start']], [['start', '--help']], [['--version']]])(
    'answers %j on standard output',
    async (args) => {
      const { code, out, err } = await run(args);
      expect({ code, err }).toEqual({ code: ExitCode.ok, err: '' });
      expect(out.length).toBeGreaterThan(4);
    },
  );

  it('hides what is not for people', async () => {
    expect((await run(['--help'])).out).not.toContain('in-process-cluster');
  });
});
