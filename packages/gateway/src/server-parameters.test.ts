import { SqlError } from '@flotilla/sql';
import { describe, expect, test } from 'vitest';
import { startupSettings } from './server-parameters.ts';

const settings = (parameters: Record<string, string>) =>
  startupSettings(new Map(Object.entries(parameters)));

describe('settings of a startup packet', () => {
  test('are everything but who and where', () => {
    expect(
      settings({ user: 'u', database: 'd', application_name: 'a', DateStyle: 'ISO', geqo: 'off' }),
    ).toEqual([
      ['DateStyle', 'ISO'],
      ['geqo', 'off'],
    ]);
  });

  test.each([
    ['-c a=b', [['a', 'b']]],
    ['-ca=b', [['a', 'b']]],
    ['--a-b=c', [['a_b', 'c']]],
    [
      '  -c  a=b   -c c=d=e ',
      [
        ['a', 'b'],
        ['c', 'd=e'],
      ],
    ],
    ['-c search_path=a,\\ b\\\\', [['search_path', 'a, b\\']]],
    ['-c a=', [['a', '']]],
    ['', []],
  ])('options %j', (options, expected) => {
    expect(settings({ options })).toEqual(expected);
  });

  test.each(['a=b', '-c', '-c a', '-c =b', '-d 5', '--', '\\'])('refuse options %j', (options) => {
    expect(() => settings({ options })).toThrow(SqlError);
  });

  test.each(['UTF8', 'utf-8', "'utf-8'", '"UTF8"', 'Unicode', 'SQL_ASCII'])(
    'take the encoding %j',
    (name) => {
      expect(settings({ client_encoding: name })).toEqual([]);
    },
  );

  test.each(['LATIN1', 'utf16', 'win1252'])('refuse the encoding %j', (name) => {
    expect(() => settings({ client_encoding: name })).toThrow(SqlError);
  });
});
