/** Prints an SQL/JSON path as PostgreSQL's jsonpath_out does; reading the text again gives the same tree. Pure. */
import { quoteJson } from '../json.ts';
import type { JsonPath, PathChain, PathLevel, PathNode } from './nodes.ts';

export function formatJsonPath({ lax, chain }: JsonPath): string {
  return `${lax ? '' : 'strict '}${print(chain, true)}`;
}

/** How tightly a chain's first node binds; the higher the tighter. */
function priority([node]: PathChain): number {
  switch (node?.kind) {
    case 'or':
      return 0;
    case 'and':
      return 1;
    case 'comparison':
    case 'starts with':
      return 2;
    case 'arithmetic':
      return node.mark === '+' || node.mark === '-' ? 3 : 4;
    case 'sign':
      return 5;
    default:
      return 6;
  }
}

/** @param brackets around the first node, if it is an operator */
function print(chain: PathChain, brackets: boolean): string {
  const more = chain.length > 1;
  let text = '';
  chain.forEach((node, i) => {
    text += i === 0 ? printFirst(node, brackets || more, more) : printStep(node);
  });
  return text;
}

function printFirst(node: PathNode, brackets: boolean, more: boolean): string {
  const own = [node];
  const operand = (chain: PathChain) => print(chain, priority(chain) <= priority(own));
  const infix = (left: PathChain, mark: string, right: PathChain) =>
    bracketed(`${operand(left)} ${mark} ${operand(right)}`, brackets);
  switch (node.kind) {
    case 'literal':
      return String(node.value);
    case 'number':
      return more ? `(${node.text})` : node.text;
    case 'string':
      return quoteJson(node.text);
    case 'variable':
      return `$${quoteJson(node.text)}`;
    case 'root':
      return '$';
    case 'current':
      return '@';
    case 'last':
      return 'last';
    case 'and':
      return infix([node.left], '&&', [node.right]);
    case 'or':
      return infix([node.left], '||', [node.right]);
    case 'comparison':
    case 'arithmetic':
      return infix(node.left, node.mark, node.right);
    case 'starts with':
      return infix(node.left, 'starts with', node.right);
    case 'sign':
      return bracketed(`${node.mark}${operand(node.operand)}`, brackets);
    case 'not':
      return `!(${print([node.operand], false)})`;
    case 'is unknown':
      return `(${print([node.operand], false)}) is unknown`;
    case 'exists':
      return `exists (${print(node.operand, false)})`;
    case 'like_regex': {
      const flags = node.flags === '' ? '' : ` flag "${node.flags}"`;
      return bracketed(
        `${operand(node.operand)} like_regex ${quoteJson(node.pattern)}${flags}`,
        brackets,
      );
    }
    default:
      return printStep(node);
  }
}

function bracketed(text: string, brackets: boolean): string {
  return brackets ? `(${text})` : text;
}

function printStep(node: PathNode): string {
  switch (node.kind) {
    case 'key':
      return `.${quoteJson(node.text)}`;
    case 'any member':
      return '.*';
    case 'any element':
      return '[*]';
    case 'any level':
      return `.**${printLevels(node.first, node.last)}`;
    case 'subscripts':
      return `[${node.subscripts
        .map(({ from, to }) =>
          to === undefined ? print(from, false) : `${print(from, false)} to ${print(to, false)}`,
        )
        .join(',')}]`;
    case 'filter':
      return `?(${print([node.predicate], false)})`;
    case 'method':
      return `.${node.method}()`;
    case 'datetime':
      return `.datetime(${node.template === undefined ? '' : quoteJson(node.template)})`;
    default:
      return printFirst(node, true, false);
  }
}

function printLevels(first: PathLevel, last: PathLevel): string {
  if (first === 0 && last === Infinity) return '';
  const shown = (level: PathLevel) => (level === Infinity ? 'last' : String(level));
  return first === last ? `{${shown(first)}}` : `{${shown(first)} to ${shown(last)}}`;
}
