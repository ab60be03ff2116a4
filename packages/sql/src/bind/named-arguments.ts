/** Arguments by name, for the built-in functions whose parameters people name: put in their places before overloads are looked for. */
import type { FuncCall, Node } from 'libpg-query';
import type { BindContext } from './context.ts';

interface Parameter {
  readonly name: string;
  /** Undefined: it must be given. */
  readonly default: Node | undefined;
}

const zero: Node = { A_Const: { ival: { ival: 0 } } };
const emptyObject: Node = { A_Const: { sval: { sval: '{}' } } };
const no: Node = { A_Const: { boolval: {} } };

const pathParameters: readonly Parameter[] = [
  { name: 'target', default: undefined },
  { name: 'path', default: undefined },
  { name: 'vars', default: emptyObject },
  { name: 'silent', default: no },
];

const parameters: Readonly<Record<string, readonly Parameter[]>> = {
  make_interval: ['years', 'months', 'weeks', 'days', 'hours', 'mins', 'secs'].map((name) => ({
    name,
    default: zero,
  })),
  ...Object.fromEntries(
    ['exists', 'match', 'query', 'query_array', 'query_first'].flatMap((name) => [
      [`jsonb_path_${name}`, pathParameters],
      [`jsonb_path_${name}_tz`, pathParameters],
    ]),
  ),
};

/** The arguments by position; those that are left out between them have their defaults. Throws 0A000, 42883, 42601. */
export function positionalArguments(
  context: BindContext,
  call: FuncCall,
  name: string,
): readonly Node[] {
  const given = call.args ?? [];
  if (!given.some((one) => 'NamedArgExpr' in one)) return given;
  const names = parameters[name];
  if (names === undefined) throw context.unsupported('named argument', call.location);
  const placed: Node[] = [];
  for (const [i, one] of given.entries()) {
    if (!('NamedArgExpr' in one)) {
      if (given.slice(0, i).some((earlier) => 'NamedArgExpr' in earlier))
        throw context.error(
          '42601',
          'positional argument cannot follow named argument',
          call.location,
        );
      placed[i] = one;
      continue;
    }
    const { name: parameter = '', arg, location } = one.NamedArgExpr;
    const at = names.findIndex((one) => one.name === parameter);
    if (at < 0 || arg === undefined)
      throw context.error(
        '42883',
        `function ${name} has no parameter named "${parameter}"`,
        call.location,
      );
    if (placed[at] !== undefined)
      throw context.error('42601', `argument name "${parameter}" used more than once`, location);
    placed[at] = arg;
  }
  return Array.from(placed, (one, i) => {
    const value = one ?? names[i]?.default;
    if (value === undefined)
      throw context.error(
        '42883',
        `parameter "${names[i]?.name ?? ''}" of function ${name} is not given`,
        call.location,
      );
    return value;
  });
}
