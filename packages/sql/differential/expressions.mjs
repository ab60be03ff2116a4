/**
 * Seeded expressions over a table with a column of every type: operators, casts, functions and aggregates, chosen by the
 * types of their operands. A statement is a list of parts, each of which may stand alone.
 */
const columns = {
  i: 'int',
  l: 'bigint',
  n: 'numeric',
  f: 'float8',
  s: 'text',
  b: 'bool',
  d: 'date',
  ts: 'timestamp',
  tz: 'timestamptz',
  tm: 'time',
  iv: 'interval',
  u: 'uuid',
  j: 'jsonb',
  ai: 'int[]',
  at: 'text[]',
  by: 'bytea',
  e: 'feel',
};

const values = {
  int: ['0', '1', '-1', '7', '42', '2147483647', '-100', '100'],
  bigint: ['0', '5', '-9', '9223372036854775807', '10000000000', '-3'],
  numeric: ['0', '1.5', '-2.25', '100', '0.001', '12345.678', "'NaN'", '-0.5', '1e10', '3.10'],
  float8: ['0', '1.5', '-2.25', "'NaN'", "'Infinity'", '1e10', '0.1', '-0.0', '3'],
  text: ["''", "'a'", "'B'", "'abc def'", "'12'", "' x '", "'a%b_c'", "'2020-01-05'", "'AbC'"],
  bool: ['true', 'false'],
  date: ["'2020-02-29'", "'1999-12-31'", "'2024-01-01'", "'0044-03-15 BC'", "'infinity'"],
  timestamp: ["'2020-02-29 12:34:56.789'", "'1999-12-31 23:59:59'", "'2024-06-15'", "'-infinity'"],
  timestamptz: [
    "'2020-02-29 12:34:56.789+02'",
    "'1999-12-31 23:59:59+00'",
    "'2024-06-15 00:00+05'",
  ],
  time: ["'00:00'", "'12:34:56.5'", "'23:59:59'", "'06:00'"],
  interval: [
    "'1 day'",
    "'-2 hours'",
    "'1 mon 3 days 04:05:06'",
    "'0'",
    "'1 year -1 mon'",
    "'36:00:00'",
  ],
  uuid: ["'00000000-0000-0000-0000-000000000001'", "'ffffffff-0000-4000-8000-00000000abcd'"],
  jsonb: [
    "'1'",
    '\'"x"\'',
    "'null'",
    '\'[1, 2, "a"]\'',
    '\'{"a": 1, "b": {"c": [true]}}\'',
    "'{}'",
    "'[]'",
    "'1.50'",
  ],
  'int[]': ["'{}'", "'{1,2,3}'", "'{1,NULL,7}'", "'{{1,2},{3,4}}'", "'{42}'"],
  'text[]': ["'{}'", "'{a,b}'", '\'{NULL,"x y"}\'', '\'{B,a,""}\''],
  bytea: ["''", "'\\x00ff'", "'\\x616263'"],
  feel: ["'sad'", "'ok'", "'happy'"],
};

const numbers = ['int', 'bigint', 'numeric', 'float8'];
const ordered = Object.keys(values);

/** By result type: how to make one. `$type` stands for an expression of that type. */
const makers = {
  int: [
    '$int + $int',
    '$int - $int',
    '$int * $int',
    '$int / $int',
    '$int % $int',
    '-$int',
    '@ $int',
    '$int & $int',
    '$int | $int',
    '$int # $int',
    '~ $int',
    '$int << 2',
    '$int >> 1',
    'length($text)',
    'strpos($text, $text)',
    'ascii($text)',
    'octet_length($text)',
    'length($bytea)',
    'abs($int)',
    'sign($int)::int',
    'mod($int, $int)',
    'gcd($int, $int)',
    'array_length($int[], 1)',
    'cardinality($text[])',
    'array_position($int[], $int)',
    '$int[][1]',
    '($int[])[2]',
    'jsonb_array_length($jsonb)',
    '$date - $date',
    'extract(year from $date)::int',
    "date_part('dow', $timestamp)::int",
    '$numeric::int',
    '$float8::int',
    '$bigint::int',
    '$bool::int',
    '$text::int',
    'width_bucket($float8, 0, 10, 5)',
    'array_upper($int[], 1)',
    'bit_length($text)',
    'num_nulls($int, $text)',
    'position($text in $text)',
    '($jsonb->>0)::int',
    'nullif($int, $int)',
    'least($int, $int, 3)',
    'div($numeric, $numeric)::int',
    'array_ndims($int[])',
    'to_hex($int)::text::varchar::text::bytea::text::int4',
  ],
  bigint: [
    '$bigint + $int',
    '$int * $bigint',
    '$bigint / $int',
    '$bigint % $int',
    '$int::bigint',
    '$numeric::bigint',
    'abs($bigint)',
    '-$bigint',
    '$bigint - $bigint',
    '$float8::bigint',
  ],
  numeric: [
    '$numeric + $numeric',
    '$numeric - $int',
    '$numeric * $numeric',
    '$numeric / $numeric',
    '$numeric % $numeric',
    '-$numeric',
    'round($numeric, 1)',
    'round($numeric)',
    'trunc($numeric, 2)',
    'ceil($numeric)',
    'floor($numeric)',
    'abs($numeric)',
    'sign($numeric)',
    '$int::numeric',
    '$bigint::numeric',
    '$float8::numeric',
    '$numeric::numeric(10,2)',
    'extract(epoch from $interval)',
    'extract(second from $timestamp)',
    'sqrt(abs($numeric))',
    'power(abs($numeric), 2)',
    'ln(abs($numeric) + 1)',
    'mod($numeric, $numeric)',
    'trim_scale($numeric)',
    'scale($numeric)::numeric',
    'exp(least(abs($numeric), 5))',
    'log(abs($numeric) + 2)',
    '(abs($numeric) + 1) ^ 1.5',
    'greatest($numeric, $int)',
    'round($numeric, -1)',
    'extract(julian from $timestamp)',
  ],
  float8: [
    '$float8 + $float8',
    '$float8 - $int',
    '$float8 * $float8',
    '$float8 / $float8',
    '-$float8',
    'abs($float8)',
    'floor($float8)',
    'ceil($float8)',
    'round($float8)',
    'trunc($float8)',
    '$int::float8',
    '$numeric::float8',
    '$text::float8',
    'sign($float8)',
    "date_part('hour', $timestamp)",
    "date_part('epoch', $interval)",
    'sqrt(abs($float8))',
    'extract(epoch from $timestamp)::float8',
    '$float8::real::float8',
  ],
  text: [
    '$text || $text',
    'upper($text)',
    'lower($text)',
    'substr($text, 2, 3)',
    'left($text, $int % 5)',
    'right($text, 2)',
    'trim($text)',
    "ltrim($text, 'a')",
    "replace($text, 'a', $text)",
    'reverse($text)',
    'repeat($text, 2)',
    "lpad($text, 5, 'xy')",
    'rpad($text, 3)',
    "split_part($text, ' ', 1)",
    'initcap($text)',
    'concat($text, $int, $bool)',
    "concat_ws('-', $text, $date)",
    "to_char($timestamp, 'YYYY-MM-DD HH24:MI:SS')",
    "to_char($date, 'Day DD Mon YYYY')",
    '$int::text',
    '$numeric::text',
    '$float8::text',
    '$bool::text',
    '$date::text',
    '$timestamp::text',
    '$timestamptz::text',
    '$time::text',
    '$interval::text',
    '$uuid::text',
    '$jsonb::text',
    '$int[]::text',
    '$text[]::text',
    '$bytea::text',
    '$feel::text',
    "$jsonb->>'a'",
    "$jsonb#>>'{b,c}'",
    'md5($text)',
    "encode($bytea, 'hex')",
    "encode($bytea, 'base64')",
    "array_to_string($text[], ',', '*')",
    'quote_literal($text)',
    'quote_ident($text)',
    "format('%s-%I-%L', $int, $text, $text)",
    'chr(65 + abs($int % 26))',
    "overlay($text placing 'zz' from 2)",
    "translate($text, 'ab', 'x')",
    'jsonb_typeof($jsonb)',
    "regexp_replace($text, '[a-c]+', '<\\&>')",
    "substring($text from '[a-z]+')",
    '($text[])[1]',
    'to_hex($int)',
    "btrim($text, ' x')",
    "case $int when 1 then $text when 2 then 'two' else $text end",
    'coalesce($text, $text)',
    "nullif($text, 'a')",
    'greatest($text, $text)',
    '$text::varchar(3)',
    '$text::char(4)',
    'string_agg_free($text)',
    "to_char($numeric, 'FM999990.00')",
    "to_char($int, '0000')",
  ],
  bool: [
    '$int = $int',
    '$int < $bigint',
    '$numeric >= $int',
    '$float8 <> $float8',
    '$float8 > $numeric',
    '$text = $text',
    '$text < $text',
    '$text like $text',
    "$text ilike 'A%'",
    "$text ~ '^[a-z]'",
    "$text similar to '(a|B)%'",
    '$bool and $bool',
    '$bool or $bool',
    'not $bool',
    '$bool is true',
    '$bool is not unknown',
    '$int is null',
    '$date < $timestamp',
    '$timestamp = $date',
    '$timestamptz > $timestamp',
    '$timestamptz <= $date',
    '$time < $time',
    '$interval = $interval',
    '$interval > $interval',
    '$uuid < $uuid',
    '$jsonb = $jsonb',
    '$jsonb < $jsonb',
    '$jsonb @> $jsonb',
    "$jsonb ? 'a'",
    '$int[] = $int[]',
    '$int[] < $int[]',
    '$int[] @> $int[]',
    '$int[] && $int[]',
    '$int = any($int[])',
    '$text <> all($text[])',
    '$bytea < $bytea',
    '$bytea = $bytea',
    '$feel < $feel',
    '$feel = $feel',
    "$feel between 'sad' and $feel",
    '$int between $int and $int',
    '$int between symmetric $int and $int',
    '$int in ($int, $int, 3)',
    '$numeric in (1.5, $int)',
    "$text not in ('a', $text)",
    '$int is distinct from $int',
    '$text is not distinct from $text',
    'starts_with($text, $text)',
    'isfinite($date)',
    '($int, $text) < ($int, $text)',
    '($int, $date) = ($int, $date)',
    '$text[] <@ $text[]',
    "$feel = any('{sad,ok}')",
    '$text::bool',
    '$int::bool',
    "$jsonb ?| array['a','x']",
    '$bool = $bool',
    '$bool < $bool',
    '($timestamp, $interval) overlaps ($timestamp, $interval)',
    '$timestamp between $date and $timestamp',
    '$int < all($int[])',
    '$numeric is not null',
    'row($int, $text) is null',
    "$feel in ('ok', $feel)",
    "$date in ($date, '2024-01-01')",
  ],
  date: [
    '$date + $int % 1000',
    '$date - $int % 1000',
    '$timestamp::date',
    '$timestamptz::date',
    '$text::date',
    'make_date(2000 + abs($int % 50), 2, 28)',
    'least($date, $date)',
    "to_date('2020-03-0' || abs($int % 9) + 1, 'YYYY-MM-DD')",
  ],
  timestamp: [
    '$timestamp + $interval',
    '$date + $interval',
    '$date + $time',
    '$timestamp - $interval',
    '$date::timestamp',
    "date_trunc('month', $timestamp)",
    "date_trunc('hour', $timestamp)",
    "$timestamptz at time zone 'Asia/Tokyo'",
    '$timestamptz::timestamp',
    '$timestamp::timestamp(0)',
    "date_bin('15 minutes', $timestamp, '2001-01-01')",
    "date_trunc('week', $timestamp)",
  ],
  timestamptz: [
    '$timestamptz + $interval',
    "$timestamp at time zone 'America/New_York'",
    '$timestamp::timestamptz',
    '$date::timestamptz',
    "date_trunc('day', $timestamptz)",
    'to_timestamp($int)',
  ],
  time: [
    '$time + $interval',
    '$timestamp::time',
    '$interval::time',
    '$time - $interval',
    'least($time, $time)',
  ],
  interval: [
    '$timestamp - $timestamp',
    '$time - $time',
    '$interval + $interval',
    '$interval - $interval',
    '-$interval',
    '$interval * $float8',
    '$interval / 3',
    '$interval * $int',
    'justify_hours($interval)',
    'justify_interval($interval)',
    'age($timestamp, $timestamp)',
    '$time::interval',
    'make_interval(days => 3)',
    "date_trunc('day', $interval)",
    '$timestamptz - $timestamptz',
  ],
  uuid: ['least($uuid, $uuid)', '$text::uuid', 'coalesce($uuid, $uuid)'],
  jsonb: [
    "$jsonb->'a'",
    '$jsonb->0',
    '$jsonb->-1',
    '$jsonb || $jsonb',
    "$jsonb - 'a'",
    '$jsonb - 0',
    'to_jsonb($int)',
    'to_jsonb($text)',
    'to_jsonb($timestamp)',
    'to_jsonb($numeric)',
    'to_jsonb($int[])',
    'to_jsonb($feel)',
    "jsonb_build_object('k', $int, 'v', $text)",
    'jsonb_build_array($bool, $date, $jsonb)',
    "jsonb_set($jsonb, '{a}', $jsonb)",
    'jsonb_strip_nulls($jsonb)',
    "$jsonb #> '{b,c,0}'",
    '$text::jsonb',
    'to_jsonb(row($int, $text))',
    'to_jsonb($interval)',
    'to_jsonb($bytea)',
    'to_jsonb($float8)',
  ],
  'int[]': [
    '$int[] || $int',
    '$int[] || $int[]',
    'array_append($int[], $int)',
    'array_remove($int[], $int)',
    'array[$int, $int]',
    '($int[])[1:2]',
    'array_cat($int[], $int[])',
    'array_replace($int[], 1, $int)',
    'array(select generate_series(1, abs($int % 4)))',
    "string_to_array('1,2', ',')::int[]",
    'array_fill($int, array[2])',
  ],
  'text[]': [
    '$text[] || $text',
    "string_to_array($text, ' ')",
    'array[$text, $text]',
    '$int[]::text[]',
    "regexp_split_to_array($text, 'b')",
    'array_prepend($text, $text[])',
    "regexp_match($text, '([a-z])(.)')",
    'array_remove($text[], null)',
  ],
  bytea: [
    '$bytea || $bytea',
    "convert_to($text, 'UTF8')",
    "decode(md5($text), 'hex')",
    'substr($bytea, 1, 2)',
    'sha256($bytea)',
  ],
  feel: [
    'enum_first($feel)',
    'greatest($feel, $feel)',
    "coalesce($feel, 'ok')",
    "case when $bool then $feel else 'sad' end",
    '$feel::text::feel',
  ],
};
makers.text = makers.text.filter((one) => !one.includes('string_agg_free'));
makers.int = makers.int.filter((one) => !one.includes('::bytea::') && one !== '$int[][1]');

const aggregates = [
  'count($text)',
  'count(distinct $int)',
  'sum($int)',
  'sum($bigint)',
  'sum($numeric)',
  'avg($int)',
  'avg($numeric)',
  'sum($interval)',
  'avg($interval)',
  'min($feel)',
  'max($feel)',
  'min($text)',
  'max($date)',
  'min($timestamptz)',
  'max($numeric)',
  'min($float8)',
  'max($int[])',
  'min($uuid)::text',
  'bool_and($bool)',
  'bool_or($bool)',
  "string_agg($text, ',' order by id)",
  'array_agg($int order by id)',
  'array_agg($feel order by id desc)',
  'jsonb_agg($jsonb order by id)',
  'json_agg($date order by id)',
  'jsonb_object_agg(id, $text)',
  'stddev($int)',
  'variance($numeric)',
  'bit_and($int)',
  'every($bool)',
  'percentile_cont(0.5) within group (order by $float8)',
  'percentile_disc(0.5) within group (order by $int)',
  'mode() within group (order by $text)',
  'count(*) filter (where $bool)',
  'sum(distinct $int)',
  'array_agg(distinct $text)',
  'corr($float8, $int)::numeric(6,3)',
  'max($interval)',
  'min($time)',
  'avg($bigint)',
  'array_agg($int[] order by id)',
];

export function expressions(prng) {
  const below = (n) => prng.nextBelow(n);
  const pick = (list) => list[below(list.length)];
  const chance = (percent) => below(100) < percent;
  const names = Object.keys(columns);

  const setup = [
    "create type feel as enum ('sad', 'ok', 'happy')",
    `create table x (id int primary key, ${names.map((name) => `${name} ${columns[name]}`).join(', ')})`,
  ];
  const ids = Array.from({ length: 14 }, (_id, i) => i + 1);
  for (const id of ids)
    setup.push(
      `insert into x values (${id}, ${names.map((name) => (chance(20) ? 'null' : pick(values[columns[name]]))).join(', ')})`,
    );
  setup.push('create index on x (e, d)', 'create index on x (s)', 'create index on x (n desc)');

  const leaf = (type) => {
    if (chance(70)) return pick(names.filter((name) => columns[name] === type));
    if (chance(8)) return `null::${type}`;
    const value = pick(values[type]);
    return value.startsWith("'") || chance(50) ? `${value}::${type}` : `(${value}::${type})`;
  };
  const make = (type, depth) =>
    depth <= 0 || chance(15) ? leaf(type) : `(${fill(pick(makers[type]), depth - 1)})`;
  const fill = (template, depth) =>
    template.replace(/\$(int\[\]|text\[\]|[a-z0-9]+)/g, (_all, type) => {
      const made = make(type, depth);
      return /^[a-z]+$/.test(made) || made.startsWith('(') ? made : `(${made})`;
    });

  const build = (kind, parts) => ({
    kind,
    parts,
    sql: () => text(kind, parts),
    alone: () => alone(kind, parts),
  });

  /** Each part by itself over all rows, over each row and over each group: whether it fails for any, and how. */
  function alone(kind, { outputs, where, group, order }) {
    if (kind === 'join') return [`select ${where} from x a, x b`];
    const parts = [...(where === '' ? [] : [where]), ...(order === '' ? [] : [bare(order)])];
    const all = [...parts, ...outputs].map((one) => `select ${one} from x`);
    const rows = all.flatMap((one) => ids.map((id) => `${one} where id = ${id}`));
    if (kind !== 'group' || group === '') return [...all, ...rows];
    const filter = where === '' ? '' : ` and ${where}`;
    const groups = outputs.flatMap((one) =>
      ids.map(
        (id) =>
          `select ${one} from x where ${group} is not distinct from (select ${group} from x where id = ${id})${filter}`,
      ),
    );
    return [...all, ...rows, ...groups];
  }
  const bare = (order) => order.replace(/ (desc|nulls first)$/, '');
  function text(kind, { outputs, where, group, order }) {
    const tail = where === '' ? '' : ` where ${where}`;
    if (kind === 'group')
      return `select ${outputs.join(', ')} from x${tail}${group === '' ? '' : ` group by ${group}`}`;
    if (kind === 'order') return `select id from x${tail} order by ${order}, id`;
    if (kind === 'distinct') return `select distinct ${outputs[0]} from x${tail}`;
    if (kind === 'join') return `select a.id, b.id from x a join x b on ${where}`;
    return `select id, ${outputs.join(', ')} from x${tail} order by id`;
  }

  function statement() {
    const kind = pick([
      'plain',
      'plain',
      'plain',
      'where',
      'where',
      'group',
      'group',
      'order',
      'distinct',
      'join',
    ]);
    const where = kind === 'where' || chance(15) ? make('bool', 2) : '';
    if (kind === 'join') {
      const type = pick(ordered);
      const name = pick(names.filter((one) => columns[one] === type));
      const other = numbers.includes(type) ? pick(['i', 'l', 'n', 'f']) : name;
      return build(kind, {
        outputs: [],
        where: `a.${name} ${pick(['=', '=', '=', '<', '>='])} b.${other}`,
        group: '',
        order: '',
      });
    }
    if (kind === 'group')
      return build(kind, {
        outputs: [0, 1].map(() => fill(pick(aggregates), 1)),
        where,
        group: chance(60) ? pick(names.filter((name) => !['j'].includes(name) || true)) : '',
        order: '',
      });
    if (kind === 'order')
      return build(kind, {
        outputs: [],
        where,
        group: '',
        order: `${make(pick(ordered), 2)}${pick(['', ' desc', ' nulls first'])}`,
      });
    return build(kind, {
      outputs: [0, 1].map(() => make(pick(ordered), 3)),
      where: kind === 'where' ? make('bool', 3) : where,
      group: '',
      order: '',
    });
  }

  function* smaller({ kind, parts }) {
    if (parts.where !== '' && kind !== 'join') yield build(kind, { ...parts, where: '' });
    if (parts.outputs.length > 1)
      for (let i = 0; i < parts.outputs.length; i++)
        yield build(kind, { ...parts, outputs: parts.outputs.filter((_one, k) => k !== i) });
  }

  return { setup, statement, smaller };
}
