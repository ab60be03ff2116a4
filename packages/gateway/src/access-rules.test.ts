import { describe, expect, test } from 'vitest';
import { matchRule, type ParsedRules, parseAccessRules } from './access-rules.ts';

const facts = { encrypted: false, database: 'shop', user: 'ann', address: '10.1.2.3' };

function methodFor(text: string, overrides: Partial<typeof facts> = {}): string | undefined {
  const parsed = parseAccessRules(text);
  if (!parsed.ok) throw new Error(parsed.problems.join('\n'));
  return matchRule(parsed.rules, { ...facts, ...overrides })?.method;
}

function problemsOf(text: string): readonly string[] {
  const parsed: ParsedRules = parseAccessRules(text);
  return parsed.ok ? [] : parsed.problems;
}

describe('which rule decides', () => {
  test('the first that fits, and none is no', () => {
    const text = `
      # who       where        how
      host all    bob all              reject   # comments may follow
      host shop   all 10.1.0.0/16      scram-sha-256
      host all    all 127.0.0.1/32     trust`;
    expect(methodFor(text)).toBe('scram-sha-256');
    expect(methodFor(text, { user: 'bob' })).toBe('reject');
    expect(methodFor(text, { database: 'other', address: '127.0.0.1' })).toBe('trust');
    expect(methodFor(text, { database: 'other' })).toBeUndefined();
  });

  test.each([
    ['host', true, 'trust'],
    ['host', false, 'trust'],
    ['hostssl', true, 'trust'],
    ['hostssl', false, undefined],
    ['hostnossl', true, undefined],
    ['hostnossl', false, 'trust'],
  ])('%s with encryption %s: %s', (connection, encrypted, method) => {
    expect(methodFor(`${connection} all all all trust`, { encrypted })).toBe(method);
  });

  test.each([
    ['10.1.2.3/32', '10.1.2.3', true],
    ['10.1.2.3/32', '10.1.2.4', false],
    ['10.1.2.3/32', '::ffff:10.1.2.3', true],
    ['10.0.0.0 255.0.0.0', '10.200.2.4', true],
    ['10.0.0.0 255.255.255.255', '10.0.0.1', false],
    ['0.0.0.0/0', '1.2.3.4', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['::1/128', '::1', true],
    ['::1/128', '127.0.0.1', false],
    ['all', '2001:db8::1', true],
  ])('%s and a client from %s: %s', (addresses, address, fits) => {
    const method = methodFor(`host all all ${addresses} trust`, { address });
    expect(method).toBe(fits ? 'trust' : undefined);
  });

  test('lists, quoted names and sameuser', () => {
    expect(methodFor('host a,shop, b ann,bob all trust')).toBe('trust');
    expect(methodFor('host sameuser all all trust')).toBeUndefined();
    expect(methodFor('host sameuser all all trust', { database: 'ann' })).toBe('trust');
    expect(methodFor('host "all" all all trust')).toBeUndefined();
    expect(methodFor('host "all" all all trust', { database: 'all' })).toBe('trust');
    expect(methodFor('host "my db" "Ann B" all trust', { database: 'my db', user: 'Ann B' })).toBe(
      'trust',
    );
    expect(methodFor('host all Ann all trust')).toBeUndefined();
  });
});

describe('what is wrong is said by line', () => {
  test.each([
    ['local all all trust', /line 1: the first word is host/],
    ['host all all 10.0.0.0/8', /connection databases users address method/],
    ['host all all 10.0.0.0/8 md5', /unknown method "md5"/],
    ['host all all 10.0.0.0/33 trust', /from 0 to 32/],
    ['host all all 10.0.0.0/x trust', /from 0 to 32/],
    ['host all all 10.0.0.0 trust', /needs a length/],
    ['host all all 10.0.0.0 255.0.255.0 trust', /from 0 to 32/],
    ['host all all example.com trust', /is no address/],
    ['host all all all cert', /needs hostssl/],
    ['host "all all all trust', /quote is not closed/],
    ['host all ann,', /ends in a comma/],
    ['host all all all trust and more', /connection databases users/],
  ])('%s', (text, problem) => {
    expect(problemsOf(text).join()).toMatch(problem);
  });

  test('every line of them, and no rule of the others stays', () => {
    expect(problemsOf('nonsense\nhost all all all trust\nhost all')).toHaveLength(2);
  });
});
