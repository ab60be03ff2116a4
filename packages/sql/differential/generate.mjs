/**
 * Seeded statements over a small schema: joins, subqueries, aggregates, set operations, windows, NULLs everywhere. A
 * statement is a tree of parts; `smaller` gives it with one part left out.
 */
const tables = {
  a: { columns: { id: 'int', x: 'int', y: 'int', s: 'text' }, key: ['id'] },
  b: { columns: { id: 'int', a_id: 'int', z: 'int', t: 'text' }, key: ['id'] },
  c: { columns: { k: 'int', l: 'int', v: 'int' }, key: ['k', 'l'] },
  h: { columns: { p: 'int', q: 'int', w: 'text' }, key: [] },
};

export function generator(prng) {
  const below = (n) => prng.nextBelow(n);
  const pick = (list) => list[below(list.length)];
  const chance = (percent) => below(100) < percent;

  const setup = [];
  for (const [name, { columns, key }] of Object.entries(tables)) {
    const defined = Object.entries(columns).map(([column, type]) => `${column} ${type}`);
    if (key.length > 0) defined.push(`primary key (${key.join(', ')})`);
    setup.push(`create table ${name} (${defined.join(', ')})`);
    const rows = [];
    for (let i = 0; i < 12; i++) {
      const values = Object.entries(columns).map(([column, type]) => {
        if (column === 'k') return String(Math.floor(i / 4));
        if (column === 'l') return String(i % 4);
        if (key.includes(column)) return String(i);
        if (chance(20)) return 'null';
        return type === 'int' ? String(below(6)) : `'${pick(['', 'u', 'v', 'vv'])}'`;
      });
      rows.push(`(${values.join(', ')})`);
    }
    setup.push(`insert into ${name} values ${rows.join(', ')}`);
  }

  let aliases = 0;

  /** A relation in FROM with its columns. */
  function source(depth, outer) {
    const alias = `r${++aliases}`;
    if (depth > 0 && chance(20)) {
      const lateral = outer.length > 0 && chance(40);
      const inner = query(depth - 1, lateral ? outer : [], 2);
      return {
        text: `${lateral ? 'lateral ' : ''}(${inner.sql()}) as ${alias}(c1, c2)`,
        lateral,
        columns: [
          { name: `${alias}.c1`, type: inner.types[0] },
          { name: `${alias}.c2`, type: inner.types[1] },
        ],
      };
    }
    if (chance(8))
      return {
        text: `generate_series(${below(3)}, ${below(5)}) as ${alias}(g)`,
        lateral: false,
        columns: [{ name: `${alias}.g`, type: 'int' }],
      };
    if (chance(8))
      return {
        text: `(values (1, 'u'), (2, null), (null, 'v')) as ${alias}(m, n)`,
        lateral: false,
        columns: [
          { name: `${alias}.m`, type: 'int' },
          { name: `${alias}.n`, type: 'text' },
        ],
      };
    const table = pick(Object.keys(tables));
    return {
      text: `${table} as ${alias}`,
      lateral: false,
      columns: Object.entries(tables[table].columns).map(([name, type]) => ({
        name: `${alias}.${name}`,
        type,
      })),
    };
  }

  function literal(type) {
    if (chance(10)) return type === 'int' ? 'null::int' : 'null::text';
    return type === 'int' ? String(below(7) - 1) : `'${pick(['', 'u', 'v', 'w'])}'`;
  }

  function scalar(type, columns, depth) {
    const fitting = columns.filter((column) => column.type === type);
    const roll = below(100);
    if (fitting.length > 0 && roll < 60) return pick(fitting).name;
    if (roll < 75) return literal(type);
    if (depth <= 0) return literal(type);
    if (roll < 80)
      return `case when ${condition(columns, depth - 1)} then ${scalar(type, columns, depth - 1)} else ${scalar(type, columns, depth - 1)} end`;
    if (roll < 84)
      return `coalesce(${scalar(type, columns, depth - 1)}, ${scalar(type, columns, depth - 1)})`;
    if (roll < 90) {
      const inner = source(0, []);
      const all = [...columns, ...inner.columns];
      const where = chance(70) ? ` where ${condition(all, depth - 1)}` : '';
      const aggregate = type === 'int' ? pick(['min', 'max', 'sum']) : pick(['min', 'max']);
      const own = inner.columns.filter((column) => column.type === type);
      if (own.length === 0) return literal(type);
      const value = `${aggregate}(${pick(own).name})`;
      return `(select ${aggregate === 'sum' ? `${value}::int` : value} from ${inner.text}${where})`;
    }
    if (type === 'int')
      return `(${scalar('int', columns, depth - 1)} ${pick(['+', '-', '*'])} ${scalar('int', columns, depth - 1)})`;
    return `(${scalar('text', columns, depth - 1)} || ${scalar('text', columns, depth - 1)})`;
  }

  function condition(columns, depth) {
    const type = chance(75) ? 'int' : 'text';
    const roll = below(100);
    if (depth > 0 && roll < 10)
      return `(${condition(columns, depth - 1)} ${pick(['and', 'or'])} ${condition(columns, depth - 1)})`;
    if (depth > 0 && roll < 15) return `not (${condition(columns, depth - 1)})`;
    if (roll < 22) return `${scalar(type, columns, depth - 1)} is ${pick(['', 'not '])}null`;
    if (depth > 0 && roll < 30) {
      const inner = source(0, []);
      const own = inner.columns.filter((column) => column.type === type);
      if (own.length > 0) {
        const where = chance(60)
          ? ` where ${condition([...columns, ...inner.columns], depth - 1)}`
          : '';
        const how = pick(['in', 'not in', '= any', '<> all', '> any', '<= all']);
        return `${scalar(type, columns, 0)} ${how} (select ${pick(own).name} from ${inner.text}${where})`;
      }
    }
    if (depth > 0 && roll < 38) {
      const inner = source(0, []);
      const where = condition([...columns, ...inner.columns], depth - 1);
      return `${pick(['', 'not '])}exists (select 1 from ${inner.text} where ${where})`;
    }
    if (roll < 42)
      return `(${scalar('int', columns, 0)}, ${scalar('text', columns, 0)}) ${pick(['=', '<>', '<', '>='])} (${scalar('int', columns, 0)}, ${scalar('text', columns, 0)})`;
    if (roll < 48)
      return `${scalar(type, columns, 0)} is ${pick(['', 'not '])}distinct from ${scalar(type, columns, 0)}`;
    if (roll < 54) return `${scalar('int', columns, 0)} in (${literal('int')}, ${literal('int')})`;
    return `${scalar(type, columns, depth - 1)} ${pick(['=', '=', '=', '<', '<=', '>', '<>'])} ${scalar(type, columns, depth - 1)}`;
  }

  /** FROM as a list of steps; each after the first may be left out. */
  function fromClause(depth, outer) {
    const first = source(depth, outer);
    const steps = [first.text];
    let columns = [...first.columns];
    for (let i = below(3); i > 0; i--) {
      const next = source(depth, columns);
      const all = [...columns, ...next.columns];
      let kind = pick(['inner', 'inner', 'left', 'left', 'right', 'full', 'cross', ',']);
      if (next.lateral && (kind === 'right' || kind === 'full')) kind = 'left';
      if (kind === ',') {
        steps.push(` cross join ${next.text}`);
      } else if (kind === 'cross') steps.push(` cross join ${next.text}`);
      else {
        const left = columns.filter((column) => column.type === 'int');
        const right = next.columns.filter((column) => column.type === 'int');
        const equal =
          left.length > 0 && right.length > 0
            ? `${pick(left).name} = ${pick(right).name}`
            : undefined;
        const on =
          equal === undefined
            ? kind === 'full'
              ? 'true'
              : condition(all, 1)
            : chance(30) && kind !== 'full'
              ? `${equal} and ${condition(all, 1)}`
              : equal;
        steps.push(` ${kind} join ${next.text} on ${on}`);
      }
      columns = all;
    }
    return { steps, columns };
  }

  function query(depth, outer, width) {
    const from = fromClause(depth, outer);
    const columns = from.columns;
    const visible = [...columns, ...outer];
    const types = Array.from({ length: width }, () => (chance(70) ? 'int' : 'text'));
    const grouped = chance(30);
    // One at most: rows that tie in one window's order may come in another order in another window.
    let windowed = !grouped && chance(20);
    const parts = {
      with: '',
      distinct: !grouped && chance(15) ? 'distinct ' : '',
      outputs: [],
      from: from.steps,
      where: chance(60) ? condition(visible, depth) : '',
      group: '',
      having: '',
      order: '',
      limit: '',
      set: '',
    };
    if (grouped) {
      const keys = types.map((type) => scalar(type, columns, 0));
      const numbers = columns.filter((column) => column.type === 'int');
      parts.outputs = types.map((type, i) => {
        if (i === 0 || numbers.length === 0) return keys[i];
        if (type !== 'int')
          return `string_agg(${scalar('text', columns, 0)}, ',' order by ${columns.map((column) => column.name).join(', ')})`;
        const call = pick(['count(*)', 'count(distinct #)', 'sum(#)', 'max(#)', 'min(#)']).replace(
          '#',
          pick(numbers).name,
        );
        const filter = chance(20) ? ` filter (where ${condition(columns, 0)})` : '';
        return `(${call}${filter})::int`;
      });
      const plain = parts.outputs.flatMap((output, i) => (output === keys[i] ? [keys[i]] : []));
      const column = plain.filter((one) => /^r\d+\.\w+$/.test(one));
      parts.outputs = parts.outputs.map((output, i) =>
        output === keys[i] && !column.includes(output)
          ? types[i] === 'int'
            ? 'count(*)::int'
            : `max('q')`
          : output,
      );
      const names = column.length === 0 ? '' : [...new Set(column)].join(', ');
      parts.group = names === '' ? '' : chance(20) ? `rollup (${names})` : names;
      if (chance(25)) parts.having = `count(*) > ${below(3)}`;
    } else
      parts.outputs = types.map((type) => {
        if (!windowed || type !== 'int') return scalar(type, visible, depth);
        const numbers = columns.filter((one) => one.type === 'int');
        if (numbers.length === 0) return scalar(type, visible, depth);
        const total = columns.map((one) => `${one.name}${chance(30) ? ' desc' : ''}`).join(', ');
        const partition = chance(50) ? `partition by ${pick(columns).name} ` : '';
        const call = pick([
          'row_number()',
          'rank()',
          'dense_rank()',
          'sum(#)',
          'count(*)',
          'lag(#)',
          'lead(#, 2, 0)',
          'first_value(#)',
          'last_value(#)',
          'nth_value(#, 2)',
          'ntile(3)',
        ]).replace('#', pick(numbers).name);
        const peers = ['rank()', 'dense_rank()', 'count(*)'].includes(call);
        const order = peers ? pick(columns).name : total;
        if (!peers) windowed = false;
        const frame =
          /row_number|rank|lag|lead|ntile/.test(call) || peers
            ? ''
            : pick([
                '',
                ' rows between 1 preceding and 1 following',
                ' rows between unbounded preceding and current row exclude current row',
                ' groups between 1 preceding and current row',
                ' rows between current row and unbounded following',
                ' groups between current row and 1 following exclude ties',
              ]);
        return `(${call} over (${partition}order by ${order}${frame}))::int`;
      });
    if (outer.length === 0 && chance(12) && !windowed) {
      const other = query(0, [], width);
      parts.set = ` ${pick(['union', 'union all', 'intersect', 'except', 'intersect all', 'except all'])} ${other.plain()}`;
      types.forEach((type, i) => {
        if (type !== other.types[i]) parts.set = '';
      });
    }
    if (parts.set === '' && parts.distinct === '' && chance(25)) {
      parts.order = parts.outputs.map((_output, i) => String(i + 1)).join(', ');
      if (chance(50)) parts.limit = ` limit ${below(6)}${chance(30) ? ` offset ${below(3)}` : ''}`;
    }
    return build(parts, types);
  }

  function build(parts, types) {
    const plain = () =>
      `select ${parts.distinct}${parts.outputs.join(', ')} from ${parts.from.join('')}` +
      (parts.where === '' ? '' : ` where ${parts.where}`) +
      (parts.group === '' ? '' : ` group by ${parts.group}`) +
      (parts.having === '' ? '' : ` having ${parts.having}`);
    return {
      parts,
      types,
      plain,
      sql: () =>
        plain() + parts.set + (parts.order === '' ? '' : ` order by ${parts.order}`) + parts.limit,
    };
  }

  function* smaller({ parts, types }) {
    for (const name of ['where', 'having', 'order', 'limit', 'set', 'distinct'])
      if (parts[name] !== '') yield build({ ...parts, [name]: '' }, types);
    for (let i = parts.from.length - 1; i > 0; i--)
      yield build({ ...parts, from: parts.from.filter((_step, k) => k !== i) }, types);
    for (let i = 0; i < parts.outputs.length; i++)
      if (parts.outputs.length > 1)
        yield build(
          {
            ...parts,
            outputs: parts.outputs.filter((_output, k) => k !== i),
            order: '',
            limit: '',
            set: '',
          },
          types,
        );
  }

  return { setup, statement: () => query(2, [], 1 + below(3)), smaller };
}
