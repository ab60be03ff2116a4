/**
 * Who may connect from where, and how they show who they are: rules in the form of PostgreSQL's pg_hba.conf, the first
 * that fits decides, none means no. Pure: text in, rules out; facts of a connection in, rule out.
 * Source: PostgreSQL documentation, "The pg_hba.conf File".
 */
import { BlockList, isIP } from 'node:net';

/** `cert`: the client's certificate names the user. */
export type AccessMethod = 'trust' | 'reject' | 'scram-sha-256' | 'cert';

/** `all`, and for databases `sameuser`, unless they were quoted: then they are names like others. */
export interface NamePattern {
  readonly text: string;
  readonly quoted: boolean;
}

export interface AccessRule {
  /** In the file, from 1. */
  readonly line: number;
  readonly connection: 'host' | 'hostssl' | 'hostnossl';
  readonly databases: readonly NamePattern[];
  readonly users: readonly NamePattern[];
  /** Undefined: every address. */
  readonly addresses: BlockList | undefined;
  readonly method: AccessMethod;
}

export interface ConnectionFacts {
  readonly encrypted: boolean;
  readonly database: string;
  readonly user: string;
  readonly address: string;
}

export type ParsedRules =
  | { readonly ok: true; readonly rules: readonly AccessRule[] }
  | { readonly ok: false; readonly problems: readonly string[] };

const methods: readonly string[] = ['trust', 'reject', 'scram-sha-256', 'cert'];

/** `problems` name the line and what was expected there; a file with one problem gives no rules at all. */
export function parseAccessRules(text: string): ParsedRules {
  const rules: AccessRule[] = [];
  const problems: string[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const fields = fieldsOf(line);
    if (typeof fields === 'string') problems.push(`line ${i + 1}: ${fields}`);
    else if (fields.length > 0) {
      const rule = ruleOf(fields, i + 1);
      if (typeof rule === 'string') problems.push(`line ${i + 1}: ${rule}`);
      else rules.push(rule);
    }
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, rules };
}

/** The first rule that fits, or undefined: not allowed in. */
export function matchRule(
  rules: readonly AccessRule[],
  facts: ConnectionFacts,
): AccessRule | undefined {
  return rules.find(
    ({ connection, databases, users, addresses }) =>
      (connection === 'host' || (connection === 'hostssl') === facts.encrypted) &&
      databases.some((pattern) => fits(pattern, facts.database, facts.user)) &&
      users.some((pattern) => fits(pattern, facts.user, undefined)) &&
      (addresses === undefined || addressFits(addresses, facts.address)),
  );
}

function fits({ text, quoted }: NamePattern, name: string, user: string | undefined): boolean {
  if (!quoted && text === 'all') return true;
  if (!quoted && text === 'sameuser' && user !== undefined) return name === user;
  return text === name;
}

/** An IPv4 client of an IPv6 socket is an IPv4 client. */
export function plainAddress(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  return mapped ?? address;
}

export function isLoopback(address: string): boolean {
  const plain = plainAddress(address);
  return plain === '::1' || /^127\.\d+\.\d+\.\d+$/.test(plain);
}

function addressFits(addresses: BlockList, address: string): boolean {
  const plain = plainAddress(address);
  const family = isIP(plain);
  return family !== 0 && addresses.check(plain, family === 4 ? 'ipv4' : 'ipv6');
}

/** Lists of words, separated by commas, of one line; a text that says what is wrong. `#` begins a comment. */
function fieldsOf(line: string): readonly (readonly NamePattern[])[] | string {
  const fields: NamePattern[][] = [];
  let at = 0;
  let open = false;
  while (at < line.length) {
    const rest = line.slice(at);
    const space = /^\s+/.exec(rest)?.[0];
    if (space !== undefined) {
      at += space.length;
      open = false;
      continue;
    }
    if (rest.startsWith('#')) break;
    const match = /^(?:"([^"]*)"|([^\s",#]+))(,?)/.exec(rest);
    if (match === null) return 'a quote is not closed, or a comma has no name before it';
    const [whole, quotedText, word, comma] = match;
    const field = { text: quotedText ?? word ?? '', quoted: quotedText !== undefined };
    if (open) fields.at(-1)?.push(field);
    else fields.push([field]);
    open = comma === ',';
    at += whole.length;
    // A list goes on after a comma, also over spaces.
    if (open) at += /^\s*/.exec(line.slice(at))?.[0].length ?? 0;
  }
  return open ? 'a list ends in a comma' : fields;
}

function ruleOf(fields: readonly (readonly NamePattern[])[], line: number): AccessRule | string {
  const [kind, databases, users, address, ...rest] = fields;
  const connection = kind?.[0]?.text;
  if (connection !== 'host' && connection !== 'hostssl' && connection !== 'hostnossl')
    return `the first word is host, hostssl or hostnossl, not "${connection ?? ''}"`;
  if (databases === undefined || users === undefined || address === undefined)
    return 'a rule is: connection databases users address method';
  // An address may be followed by a mask of its own.
  const mask = rest.length > 1 ? rest[0] : undefined;
  const last = rest[rest.length - 1];
  if (rest.length === 0 || rest.length > 2 || last === undefined)
    return 'a rule is: connection databases users address method';
  const method = last[0]?.text ?? '';
  if (!methods.includes(method)) return `unknown method "${method}"; one of ${methods.join(', ')}`;
  if (method === 'cert' && connection !== 'hostssl')
    return 'cert needs hostssl: there is no certificate without TLS';
  const addresses = addressesOf(address[0]?.text ?? '', mask?.[0]?.text);
  if (typeof addresses === 'string') return addresses;
  return {
    line,
    connection,
    databases,
    users,
    addresses: addresses.list,
    method: method as AccessMethod,
  };
}

/** Undefined list: every address. */
interface Addresses {
  readonly list: BlockList | undefined;
}

function addressesOf(text: string, mask: string | undefined): Addresses | string {
  if (text === 'all') return mask === undefined ? { list: undefined } : '"all" takes no mask';
  const [address = '', prefixText] = text.split('/');
  const family = isIP(address);
  if (family === 0) return `"${text}" is no address like 10.0.0.0/8, ::1/128 or all`;
  const bits = family === 4 ? 32 : 128;
  const prefix = prefixText === undefined ? prefixOfMask(mask) : Number(prefixText);
  if (prefixText === undefined && mask === undefined)
    return `"${text}" needs a length like /${bits} or a mask`;
  if (prefix === undefined || !Number.isInteger(prefix) || prefix < 0 || prefix > bits)
    return `the length of "${text}" is a number from 0 to ${bits}`;
  const list = new BlockList();
  list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6');
  return { list };
}

/** Of an IPv4 mask like 255.255.0.0. */
function prefixOfMask(mask: string | undefined): number | undefined {
  if (mask === undefined || isIP(mask) !== 4) return undefined;
  const bits = mask
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
  if (!/^1*0*$/.test(bits)) return undefined;
  const firstZero = bits.indexOf('0');
  return firstZero < 0 ? bits.length : firstZero;
}
