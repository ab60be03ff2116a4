/** Arguments by name, for the built-in functions whose parameters people name: put in their places before overloads are looked for. */
import type { FuncCall, Node } from 'libpg-query';
import type { BindContext } from './context.ts';

const parameters: Readonly<Record<string, readonly string[]>> = {
  make_interval: ['years', 'months', 'weeks', 'days', 'hours', 'mins', 'secs'],
};

const zero: Node = { A_Const: { ival: { ival: 0 } } };

/** The arguments by position; those that are left out between them are 0. Throws 0A000, 42883, 42601. */
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
    const at = names.indexOf(parameter);
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
  return Array.from(placed, (one) => one ?? zero);
}
