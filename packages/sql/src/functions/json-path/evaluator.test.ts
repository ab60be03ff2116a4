/** What recorded statements cannot show of SQL/JSON paths: bounds, the binary form, printing that reads back. */
import { describe, expect, it } from 'vitest';
import { readJsonb } from '../../types/json.ts';
import { jsonPathCodec, readJsonPath } from '../../types/json-path/codec.ts';
import { storedText } from '../../types/stored-text.ts';
import { PathEvaluator } from './evaluator.ts';
import type { PathItem } from './items.ts';

function query(document: string, path: string): readonly PathItem[] {
  return new PathEvaluator({
    path: readJsonPath(path),
    document: readJsonb(document),
    variables: undefined,
    silent: false,
    zoned: undefined,
  }).items();
}

const tooDeep = expect.objectContaining({ code: '54001' });

function failure(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

describe('SQL/JSON paths', () => {
  it('prints operands that have steps so that they read back', () => {
    for (const [path, printed] of [
      ['($.a * 1).abs() + 2', '(($."a" * 1).abs() + 2)'],
      ['-(1).abs()', '(-(1).abs())'],
      ['$[($.a + 1).floor()]', '$[($."a" + 1).floor()]'],
      ['(-$.a).abs() * 2', '((-$."a").abs() * 2)'],
    ] as const) {
      expect(jsonPathCodec.parse(path, storedText, 'jsonpath')).toBe(printed);
      expect(jsonPathCodec.parse(printed, storedText, 'jsonpath')).toBe(printed);
    }
  });

  it('is sent as a version and text', () => {
    const sent = Buffer.from(jsonPathCodec.send('strict $."a"', storedText));
    expect(sent).toEqual(Buffer.from('\u0001strict $."a"'));
    expect(jsonPathCodec.receive(Buffer.from('\u0001$.a'), storedText, 'jsonpath')).toBe('$."a"');
    expect(
      failure(() => jsonPathCodec.receive(Buffer.from('\u0002$'), storedText, 'jsonpath')),
    ).toMatchObject({ code: 'XX000', message: 'unsupported jsonpath version number: 2' });
    expect(failure(() => jsonPathCodec.receive(Buffer.of(), storedText, 'jsonpath'))).toMatchObject(
      { code: '08P01' },
    );
  });

  it('bears paths up to its bounds, and refuses deeper ones', () => {
    const nested = (depth: number) => `${'('.repeat(depth)}$${')'.repeat(depth)}`;
    expect(query('1', nested(400))).toHaveLength(1);
    expect(failure(() => query('1', nested(401)))).toEqual(tooDeep);
    const filters = (depth: number) => `$${' ? (@'.repeat(depth)} == 1${')'.repeat(depth)}`;
    expect(failure(() => query('1', filters(100_000)))).toEqual(tooDeep);
    const sum = (terms: number) => `1${' + 1'.repeat(terms - 1)}`;
    expect(query('1', sum(500))).toMatchObject([{ text: '500' }]);
    expect(failure(() => query('1', sum(503)))).toEqual(tooDeep);
    const either = (terms: number) => `$ == 0${' || $ == 1'.repeat(terms - 1)}`;
    expect(query('1', either(500))).toEqual([true]);
    expect(failure(() => query('1', either(503)))).toEqual(tooDeep);
    expect(query('1', `$${'[0]'.repeat(450)}`)).toHaveLength(1);
    expect(failure(() => query('1', `$${'[0]'.repeat(502)}`))).toEqual(tooDeep);
    expect(failure(() => query('1', '-'.repeat(100_000)))).toEqual(tooDeep);
  });

  it('bears documents up to its bounds', () => {
    const nested = (depth: number) => `${'['.repeat(depth)}1${']'.repeat(depth)}`;
    expect(query(nested(500), '$.**{last}')).toMatchObject([{ text: '1' }]);
    expect(failure(() => query(nested(1_000), '$.**{last}'))).toEqual(tooDeep);
  });
});
