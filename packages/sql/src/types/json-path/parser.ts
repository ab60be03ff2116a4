/**
 * Reads an SQL/JSON path: recursive descent with one token ahead. An expression is a chain, a predicate one whose first and
 * only node is a predicate; where only one of them may stand the other is a syntax error at the token that follows, as in
 * PostgreSQL. Called by the type's codec and for every path that is evaluated.
 */
import { compileRegexp } from '../../functions/regexps.ts';
import { SqlError } from '../../sql-error.ts';
import { negateNumeric, parseNumeric } from '../numeric.ts';
import {
  isPredicate,
  type JsonPath,
  type PathArithmetic,
  type PathChain,
  type PathComparison,
  type PathLevel,
  type PathMethod,
  type PathNode,
  type PathPredicate,
  type PathSubscript,
} from './nodes.ts';
import { PathScanner, type PathToken, pathSyntaxError } from './scanner.ts';

/** Parentheses, filters and subscripts within each other, and operators or steps in a row: what recursion bears. */
const nestedMax = 400;
const operatorsMax = 500;

const comparisons: ReadonlySet<string> = new Set(['==', '!=', '<', '>', '<=', '>=']);
const methods: ReadonlySet<string> = new Set([
  'type',
  'size',
  'abs',
  'floor',
  'ceiling',
  'double',
  'keyvalue',
]);

function tooDeep(): SqlError {
  return new SqlError('54001', 'stack depth limit exceeded');
}

/** The predicate that a chain consists of; undefined where it is an expression. */
function predicateOf(chain: PathChain): PathPredicate | undefined {
  const [first] = chain;
  return chain.length === 1 && first !== undefined && isPredicate(first) ? first : undefined;
}

class PathParser {
  private readonly scanner: PathScanner;
  private token: PathToken;
  private depth = 0;
  private filters = 0;
  private subscripts = 0;
  /** `@` outside of filters or `last` outside of subscripts: told only where the rest is well-formed. */
  private misplaced: string | undefined;

  constructor(text: string) {
    this.scanner = new PathScanner(text);
    this.token = this.scanner.next();
  }

  /** @returns undefined where there is nothing at all */
  parse(): JsonPath | undefined {
    if (this.atEnd()) return undefined;
    const strict = this.isWord('strict');
    if (strict || this.isWord('lax')) this.advance();
    const chain = this.disjunction();
    if (!this.atEnd()) throw this.unexpected();
    if (this.misplaced !== undefined) throw new SqlError('42601', this.misplaced);
    return { lax: !strict, chain };
  }

  private advance(): PathToken {
    const { token } = this;
    this.token = this.scanner.next();
    return token;
  }

  private atEnd(): boolean {
    return this.token.kind === 'end';
  }

  private unexpected(): SqlError {
    return pathSyntaxError('syntax error', this.token.near);
  }

  private isMark(text: string): boolean {
    return this.token.kind === 'mark' && this.token.text === text;
  }

  /** Keywords may be written in any case. */
  private isWord(word: string): boolean {
    return this.token.kind === 'word' && this.token.text.toLowerCase() === word;
  }

  private takeMark(text: string): boolean {
    if (!this.isMark(text)) return false;
    this.advance();
    return true;
  }

  private expectMark(text: string): void {
    if (!this.takeMark(text)) throw this.unexpected();
  }

  private expectWord(word: string): void {
    if (!this.isWord(word)) throw this.unexpected();
    this.advance();
  }

  private nested<T>(read: () => T): T {
    if (++this.depth > nestedMax) throw tooDeep();
    const result = read();
    this.depth--;
    return result;
  }

  private requirePredicate(chain: PathChain): PathPredicate {
    const predicate = predicateOf(chain);
    if (predicate === undefined) throw this.unexpected();
    return predicate;
  }

  private requireExpression(chain: PathChain): PathChain {
    if (predicateOf(chain) !== undefined) throw this.unexpected();
    return chain;
  }

  private disjunction(): PathChain {
    return this.connected('or', '||', () => this.conjunction());
  }

  private conjunction(): PathChain {
    return this.connected('and', '&&', () => this.predicateOrExpression());
  }

  private connected(kind: 'and' | 'or', mark: string, operand: () => PathChain): PathChain {
    let chain = operand();
    for (let count = 0; this.isMark(mark); count++) {
      if (count > operatorsMax) throw tooDeep();
      const left = this.requirePredicate(chain);
      this.advance();
      chain = [{ kind, left, right: this.requirePredicate(operand()) }];
    }
    return chain;
  }

  private predicateOrExpression(): PathChain {
    if (this.takeMark('!')) return [{ kind: 'not', operand: this.delimited() }];
    if (this.isWord('exists')) return [this.delimited()];
    const left = this.sum();
    if (predicateOf(left) !== undefined) return left;
    if (this.token.kind === 'mark' && comparisons.has(this.token.text)) {
      const mark = this.advance().text as PathComparison;
      return [{ kind: 'comparison', mark, left, right: this.requireExpression(this.sum()) }];
    }
    if (this.isWord('starts')) {
      this.advance();
      this.expectWord('with');
      const { kind, text } = this.token;
      if (kind !== 'string' && kind !== 'variable') throw this.unexpected();
      this.advance();
      return [{ kind: 'starts with', left, right: [{ kind, text }] }];
    }
    if (!this.isWord('like_regex')) return left;
    this.advance();
    return [this.likeRegex(left)];
  }

  /** `( predicate )` or `exists ( expression )`. */
  private delimited(): PathPredicate {
    const exists = this.isWord('exists');
    if (exists) this.advance();
    this.expectMark('(');
    const inner = this.nested(() => this.disjunction());
    const predicate: PathPredicate = exists
      ? { kind: 'exists', operand: this.requireExpression(inner) }
      : this.requirePredicate(inner);
    this.expectMark(')');
    return predicate;
  }

  /** Throws 2201B, 0A000 and 42601 of pattern and flags. */
  private likeRegex(operand: PathChain): PathPredicate {
    if (this.token.kind !== 'string') throw this.unexpected();
    const pattern = this.advance().text;
    let written = '';
    if (this.isWord('flag')) {
      this.advance();
      if (this.token.kind !== 'string') throw this.unexpected();
      written = this.advance().text;
    }
    for (const flag of written)
      if (!'ismxq'.includes(flag))
        throw new SqlError('42601', 'invalid input syntax for type jsonpath', {
          detail: `Unrecognized flag character "${flag}" in LIKE_REGEX predicate.`,
        });
    const flags = [...'ismxq'].filter((flag) => written.includes(flag)).join('');
    compileRegexp(pattern, regexpFlags(flags));
    return { kind: 'like_regex', operand, pattern, flags };
  }

  private sum(): PathChain {
    return this.arithmetic(['+', '-'], () => this.product());
  }

  private product(): PathChain {
    return this.arithmetic(['*', '/', '%'], () => this.signed());
  }

  private arithmetic(wanted: readonly PathArithmetic[], operand: () => PathChain): PathChain {
    let chain = operand();
    for (let count = 0; ; count++) {
      const mark = wanted.find((one) => this.isMark(one));
      if (mark === undefined) return chain;
      if (count > operatorsMax) throw tooDeep();
      const left = this.requireExpression(chain);
      this.advance();
      chain = [{ kind: 'arithmetic', mark, left, right: this.requireExpression(operand()) }];
    }
  }

  private signed(): PathChain {
    const mark = (['+', '-'] as const).find((one) => this.isMark(one));
    if (mark === undefined) return this.accessed();
    this.advance();
    const operand = this.requireExpression(this.nested(() => this.signed()));
    const [only] = operand;
    if (operand.length > 1 || only?.kind !== 'number') return [{ kind: 'sign', mark, operand }];
    return mark === '+' ? operand : [{ kind: 'number', text: negateNumeric(only.text) }];
  }

  /** A primary with its accessors, filters and methods. */
  private accessed(): PathChain {
    if (!this.isMark('(')) return this.withAccessors([this.primary()]);
    this.advance();
    const inner = this.nested(() => this.disjunction());
    this.expectMark(')');
    const predicate = predicateOf(inner);
    if (predicate !== undefined && this.isWord('is')) {
      this.advance();
      this.expectWord('unknown');
      return [{ kind: 'is unknown', operand: predicate }];
    }
    return this.withAccessors(inner);
  }

  private withAccessors(start: PathChain): PathChain {
    const chain: PathNode[] = [...start];
    for (;;) {
      if (chain.length > operatorsMax) throw tooDeep();
      if (this.takeMark('.')) chain.push(this.member());
      else if (this.takeMark('[')) chain.push(this.element());
      else if (this.takeMark('?')) chain.push(this.filter());
      else return chain;
    }
  }

  private primary(): PathNode {
    const { kind, text } = this.token;
    switch (kind) {
      case 'string':
      case 'variable':
        this.advance();
        return { kind, text };
      case 'number':
      case 'integer':
        this.advance();
        return { kind: 'number', text: parseNumeric(text) };
      case 'word':
        return this.literal(text);
      case 'mark':
        if (text === '$') {
          this.advance();
          return { kind: 'root' };
        }
        if (text !== '@') break;
        this.advance();
        if (this.filters === 0) this.misplaced ??= '@ is not allowed in root expressions';
        return { kind: 'current' };
      default:
        break;
    }
    throw this.unexpected();
  }

  /** `null`, `true` and `false` in lower case only. */
  private literal(word: string): PathNode {
    if (word === 'null' || word === 'true' || word === 'false') {
      this.advance();
      return { kind: 'literal', value: word === 'null' ? null : word === 'true' };
    }
    this.expectWord('last');
    if (this.subscripts === 0) this.misplaced ??= 'LAST is allowed only in array subscripts';
    return { kind: 'last' };
  }

  private filter(): PathNode {
    this.expectMark('(');
    this.filters++;
    const predicate = this.requirePredicate(this.nested(() => this.disjunction()));
    this.filters--;
    this.expectMark(')');
    return { kind: 'filter', predicate };
  }

  private element(): PathNode {
    if (this.takeMark('*')) {
      this.expectMark(']');
      return { kind: 'any element' };
    }
    this.subscripts++;
    const subscripts: PathSubscript[] = [];
    do {
      const from = this.bound();
      if (this.isWord('to')) {
        this.advance();
        subscripts.push({ from, to: this.bound() });
      } else subscripts.push({ from, to: undefined });
    } while (this.takeMark(','));
    this.subscripts--;
    this.expectMark(']');
    return { kind: 'subscripts', subscripts };
  }

  private bound(): PathChain {
    return this.requireExpression(this.nested(() => this.sum()));
  }

  /** What stands behind a dot. */
  private member(): PathNode {
    if (this.takeMark('*')) return { kind: 'any member' };
    if (this.takeMark('**')) return this.levels();
    const { kind, text } = this.token;
    if (kind !== 'word' && kind !== 'string') throw this.unexpected();
    this.advance();
    const method = text.toLowerCase();
    if (kind === 'string' || !this.isMark('(')) return { kind: 'key', text };
    if (method === 'datetime') {
      this.advance();
      const template = this.token.kind === 'string' ? this.advance().text : undefined;
      this.expectMark(')');
      return { kind: 'datetime', template };
    }
    if (!methods.has(method)) throw this.unexpected();
    this.advance();
    this.expectMark(')');
    return { kind: 'method', method: method as PathMethod };
  }

  private levels(): PathNode {
    if (!this.takeMark('{')) return { kind: 'any level', first: 0, last: Infinity };
    const first = this.level();
    let last = first;
    if (this.isWord('to')) {
      this.advance();
      last = this.level();
    }
    this.expectMark('}');
    return { kind: 'any level', first, last };
  }

  /** Throws 22003. */
  private level(): PathLevel {
    if (this.isWord('last')) {
      this.advance();
      return Infinity;
    }
    if (this.token.kind !== 'integer') throw this.unexpected();
    const { text } = this.advance();
    const level = Number(text);
    if (level > 2_147_483_647)
      throw new SqlError('22003', `value "${text}" is out of range for type integer`);
    return level;
  }
}

/** The letters for `compileRegexp`: by default the dot does not match a line's end. Throws 0A000. */
export function regexpFlags(flags: string): string {
  const fold = flags.includes('i') ? 'i' : '';
  if (flags.includes('q')) return `${fold}q`;
  if (flags.includes('x'))
    throw new SqlError(
      '0A000',
      'XQuery "x" flag (expanded regular expressions) is not implemented',
    );
  const lines = flags.includes('m');
  if (flags.includes('s')) return lines ? `${fold}w` : fold;
  return `${fold}${lines ? 'n' : 'p'}`;
}

/** @returns undefined where there is nothing to read. Throws 42601, 22P02, 22P05, 22003, 2201B, 0A000, 54001. */
export function parseJsonPath(text: string): JsonPath | undefined {
  return new PathParser(text).parse();
}
