"""psycopg2: values are written into the statement by the client, simple protocol only."""
import io
import select
import threading
import time
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import psycopg2
import psycopg2.extras
from psycopg2 import errors, extensions

from checks import DATABASE, HOST, PORT, USER, expect_equal, expect_refusal, report


def connect():
    return psycopg2.connect(host=HOST, port=PORT, user=USER, dbname=DATABASE)


def migration():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("drop table if exists m_py2_books, m_py2_authors")
        cursor.execute(
            """create table m_py2_authors (id serial primary key, name text not null unique, born date);
            create table m_py2_books (id serial primary key, author int not null references m_py2_authors on delete cascade,
              title text not null, price numeric(8, 2), tags text[], data jsonb, at timestamptz default now());
            create index m_py2_by_author on m_py2_books (author, title)"""
        )
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("alter table m_py2_books add column pages int default 100 not null")
        connection.rollback()
        expect_refusal(errors.UndefinedColumn, lambda: cursor.execute("select pages from m_py2_books"))
        connection.rollback()
        cursor.execute("alter table m_py2_books add column pages int default 100 not null")
        connection.commit()
        cursor.execute("select pages from m_py2_books")


def crud():
    with connect() as connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute("insert into m_py2_authors (name, born) values (%s, %s) returning id", ("Ann", date(1970, 2, 28)))
        ann = cursor.fetchone()["id"]
        cursor.execute(
            "insert into m_py2_books (author, title, price, tags, data) values (%s, %s, %s, %s, %s) returning *",
            (ann, "O'Neill \\ %", Decimal("12.50"), ["a", 'b"c'], psycopg2.extras.Json({"k": [1, None]})),
        )
        book = cursor.fetchone()
        expect_equal(
            (book["title"], book["price"], book["tags"], book["data"], book["pages"]),
            ("O'Neill \\ %", Decimal("12.50"), ["a", 'b"c'], {"k": [1, None]}, 100),
        )
        expect_equal(book["at"].tzinfo is not None, True)
        cursor.execute("update m_py2_books set price = price * %s where id = %s", (2, book["id"]))
        expect_equal(cursor.rowcount, 1)
        cursor.execute(
            "select a.name, b.price, count(*) over () n from m_py2_books b join m_py2_authors a on a.id = b.author where a.id = any(%s)",
            ([ann],),
        )
        expect_equal(dict(cursor.fetchone()), {"name": "Ann", "price": Decimal("25.00"), "n": 1})
        cursor.execute("delete from m_py2_authors where id = %s", (ann,))
        cursor.execute("select count(*) n from m_py2_books")
        expect_equal(cursor.fetchone()["n"], 0)


def types():
    psycopg2.extras.register_uuid()
    one = uuid.UUID("12345678-1234-5678-1234-567812345678")
    values = (
        True, 7, 2**40, 1.5, Decimal("3.14"), "ü\n", b"\x00\xff", date(2024, 2, 29),
        datetime(2024, 2, 29, 12, 0, 0, 123456), datetime(2024, 2, 29, 12, tzinfo=timezone.utc), timedelta(days=3, seconds=5), one, [1, 2], None,
    )
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("set timezone = 'UTC'")
        cursor.execute(
            "select %s, %s, %s, %s::float8, %s, %s, %s, %s, %s::timestamp, %s, %s, %s, %s, %s", values
        )
        row = list(cursor.fetchone())
        row[6] = bytes(row[6])
        expect_equal(tuple(row), values)


def failures():
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("insert into m_py2_authors (name) values ('Bob')")
    connection.commit()
    error = expect_refusal(errors.UniqueViolation, lambda: cursor.execute("insert into m_py2_authors (name) values ('Bob')"))
    expect_equal(
        (error.pgcode, error.diag.constraint_name, error.diag.table_name, error.diag.schema_name, error.diag.message_detail),
        ("23505", "m_py2_authors_name_key", "m_py2_authors", "public", "Key (name)=(Bob) already exists."),
    )
    expect_refusal(errors.InFailedSqlTransaction, lambda: cursor.execute("select 1"))
    connection.rollback()
    expect_refusal(errors.ForeignKeyViolation, lambda: cursor.execute("insert into m_py2_books (author, title) values (-1, 'x')"))
    connection.rollback()
    expect_refusal(errors.NotNullViolation, lambda: cursor.execute("insert into m_py2_authors (name) values (null)"))
    connection.rollback()
    error = expect_refusal(errors.UndefinedTable, lambda: cursor.execute("select * from nowhere"))
    expect_equal(error.diag.statement_position, "15")
    connection.close()


def transactions():
    connection = connect()
    connection.set_session(isolation_level="SERIALIZABLE", readonly=False)
    cursor = connection.cursor()
    cursor.execute("show transaction_isolation")
    expect_equal(cursor.fetchone()[0], "serializable")
    cursor.execute("savepoint s; insert into m_py2_authors (name) values ('lost'); rollback to savepoint s")
    cursor.execute("insert into m_py2_authors (name) values ('kept')")
    expect_equal(connection.get_transaction_status(), extensions.TRANSACTION_STATUS_INTRANS)
    connection.commit()
    expect_equal(connection.get_transaction_status(), extensions.TRANSACTION_STATUS_IDLE)
    cursor.execute("select name from m_py2_authors where name in ('lost', 'kept')")
    expect_equal(cursor.fetchall(), [("kept",)])
    connection.rollback()
    connection.set_session(isolation_level="READ COMMITTED", autocommit=True)
    cursor.execute("show transaction_isolation")
    expect_equal(cursor.fetchone()[0], "read committed")
    connection.set_session(readonly=True, autocommit=False)
    expect_refusal(errors.ReadOnlySqlTransaction, lambda: cursor.execute("delete from m_py2_authors"))
    connection.close()


def bulk():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("drop table if exists m_py2_bulk")
        cursor.execute("create table m_py2_bulk (id int primary key, name text)")
        cursor.executemany("insert into m_py2_bulk values (%s, %s)", [(n, f"n{n}") for n in range(5)])
        psycopg2.extras.execute_values(cursor, "insert into m_py2_bulk values %s", [(n, f"n{n}") for n in range(5, 2005)], page_size=500)
        psycopg2.extras.execute_batch(cursor, "update m_py2_bulk set name = %s where id = %s", [("x", n) for n in range(50)])
        cursor.execute("select count(*), count(*) filter (where name = 'x') from m_py2_bulk")
        expect_equal(cursor.fetchone(), (2005, 50))
    with connect() as connection, connection.cursor("named") as cursor:
        cursor.itersize = 100
        cursor.execute("select id from m_py2_bulk order by id")
        expect_equal([row[0] for row in cursor], list(range(2005)))
    with connect() as connection, connection.cursor("both", scrollable=True, withhold=True) as cursor:
        cursor.execute("select id from m_py2_bulk order by id")
        connection.commit()
        cursor.scroll(10)
        expect_equal(cursor.fetchone(), (10,))
        cursor.scroll(0, mode="absolute")
        expect_equal(cursor.fetchmany(2), [(0,), (1,)])


def copy():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("truncate m_py2_bulk")
        cursor.copy_from(io.StringIO("1\tone\n2\t\\N\n"), "m_py2_bulk", columns=("id", "name"))
        cursor.copy_expert("copy m_py2_bulk from stdin with (format csv, header)", io.StringIO('id,name\n3,"a ""b"", c"\n'))
        out = io.StringIO()
        cursor.copy_to(out, "m_py2_bulk", null="-")
        expect_equal(out.getvalue(), '1\tone\n2\t-\n3\ta "b", c\n')
        expect_refusal(errors.InvalidTextRepresentation, lambda: cursor.copy_from(io.StringIO("x\ty\n"), "m_py2_bulk"))


def notifications():
    listener, speaker = connect(), connect()
    for one in (listener, speaker):
        one.autocommit = True
    listener.cursor().execute("listen m_py2")
    speaker.cursor().execute("notify m_py2, 'hello'")
    until = time.monotonic() + 10
    while not listener.notifies and time.monotonic() < until:
        select.select([listener], [], [], 1)
        listener.poll()
    expect_equal([(one.channel, one.payload) for one in listener.notifies], [("m_py2", "hello")])
    listener.close()
    speaker.close()


def cancel():
    connection = connect()
    timer = threading.Timer(0.5, connection.cancel)
    timer.start()
    expect_refusal(errors.QueryCanceled, lambda: connection.cursor().execute("select pg_sleep(30)"))
    connection.rollback()
    connection.close()


for name, work in {
    "migration, in transactions": migration, "CRUD, relations": crud, "types": types, "errors": failures, "transactions": transactions,
    "executemany, named cursors": bulk, "COPY": copy, "LISTEN, NOTIFY": notifications, "cancel": cancel,
}.items():
    try:
        work()
        report(name)
    except Exception as error:  # noqa: BLE001 - the report says what it was
        report(name, error)
