/**
 * Conversations in the wire protocol as text, so that the same ones can be held with a gateway and with PostgreSQL and be
 * compared. A script is a list of cases parted by blank lines; `----` parts what a client says from what it hears.
 */
import {
  type BackendMessage,
  bind,
  close,
  describe,
  execute,
  fields,
  flush,
  parse,
  query,
  sync,
  values,
} from './raw-client.ts';

export interface WireCase {
  readonly said: readonly string[];
  readonly heard: string;
}

export function readWireCases(text: string): WireCase[] {
  return text.split(/\n\n+/).flatMap((block) => {
    const lines = block
      .trim()
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('# '));
    if (lines.length === 0) return [];
    const end = lines.indexOf('----');
    const said = end < 0 ? lines : lines.slice(0, end);
    return [{ said, heard: end < 0 ? '' : lines.slice(end + 1).join('\n') }];
  });
}

/**
 * The bytes of one line: `query <text>`, `parse [name:] <text>`, `bind [portal=statement] [values…]`, `describe S|P
 * [name]`, `execute [portal] [rows]`, `close S|P [name]`, `flush`, `sync`.
 */
export function encodeLine(line: string): Buffer {
  const [word = ''] = line.split(' ');
  const rest = line.slice(word.length + 1);
  const words = rest === '' ? [] : rest.split(' ');
  switch (word) {
    case 'query':
      return query(rest);
    case 'parse': {
      const [, name = '', text = rest] = /^(\w+): (.*)$/s.exec(rest) ?? [];
      return parse(text, name);
    }
    case 'bind': {
      const [names = '', ...given] = words;
      const [portal = '', statement = ''] = names.includes('=') ? names.split('=') : [];
      return bind({ portal, statement, values: names.includes('=') ? given : words });
    }
    case 'describe':
      return describe(words[0] === 'S' ? 'S' : 'P', words[1] ?? '');
    case 'execute': {
      const [portal = '', rows = '0'] = words;
      return execute(Number(rows), portal === '-' ? '' : portal);
    }
    case 'close':
      return close(words[0] === 'S' ? 'S' : 'P', words[1] ?? '');
    case 'flush':
      return flush;
    case 'sync':
      return sync;
    default:
      throw new RangeError(`a wire script does not know "${word}"`);
  }
}

/** How many ReadyForQuery the lines are answered with. */
export function readyCount(said: readonly string[]): number {
  return said.filter((line) => /^(?:sync|query)\b/.test(line)).length;
}

/** One message in a line: what a client acts on. */
export function showMessage({ type, body }: BackendMessage): string {
  switch (type) {
    case 'Z':
      return `Z ${body.toString()}`;
    case 'C':
      return `C ${body.toString().replace('\0', '')}`;
    case 'D':
      return `D ${values(body)
        .map((value) => value ?? '∅')
        .join('|')}`;
    case 'T':
      return `T ${columnNames(body).join('|')}`;
    case 'E':
    case 'N': {
      const { S, C, M } = fields(body);
      return `${type} ${S} ${C} ${M}`;
    }
    case 'S': {
      const [name, value] = body.toString().split('\0');
      return `S ${name}=${value}`;
    }
    default:
      return type;
  }
}

function columnNames(body: Buffer): string[] {
  const names: string[] = [];
  let at = 2;
  for (let left = body.readUInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    names.push(body.toString('utf8', at, end));
    at = end + 19;
  }
  return names;
}
