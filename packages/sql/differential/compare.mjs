/** Whether two answers to a statement are the same, and how they are printed. */

/** The last ORDER BY outside of parentheses: then the order of rows counts. */
function isOrdered(sql) {
  let depth = 0;
  for (let i = 0; i < sql.length; i++) {
    if (sql[i] === '(') depth++;
    else if (sql[i] === ')') depth--;
    else if (depth === 0 && /^order by/i.test(sql.slice(i, i + 8))) return true;
  }
  return false;
}

/** The last digits of floats may differ where sums run in another order, or two texts mean the same number. */
function shown(row) {
  return row.map(rounded).join('|');
}

function rounded(value) {
  if (/^-?\d\.\d+e[+-]\d+$/.test(value)) return Number(value).toPrecision(12);
  return /^-?\d+\.\d{9,}$/.test(value) ? String(Number(Number(value).toPrecision(12))) : value;
}

/** What differs: 'error', 'columns' and 'rows' are grave; messages and positions are words. */
export function difference(sql, theirs, ours) {
  if (theirs.error !== undefined || ours.error !== undefined) {
    if (theirs.error !== ours.error) return 'error';
    if (theirs.message !== ours.message) return 'message';
    return theirs.position === ours.position ? undefined : 'position';
  }
  if (theirs.columns.join() !== ours.columns.join()) return 'columns';
  if (theirs.columns.length === 0) return theirs.count === ours.count ? undefined : 'rows';
  const order = isOrdered(sql) ? (rows) => rows : (rows) => [...rows].sort();
  const a = order(theirs.rows.map(shown));
  const b = order(ours.rows.map(shown));
  return a.join('\n') === b.join('\n') ? undefined : 'rows';
}

export function answerText(answer) {
  if (answer.error !== undefined)
    return `${answer.error} @${answer.position ?? '-'} ${answer.message}`;
  const rows = answer.rows.slice(0, 12).map(shown);
  return [`(${answer.columns.join(' ')}) ${answer.rows.length} rows`, ...rows].join('\n      ');
}
