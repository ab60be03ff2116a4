"""asyncpg: everything binary, statements always prepared, types that are not built in are looked up in the system tables."""
import asyncio
import uuid
import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import asyncpg

from checks import DATABASE, HOST, PORT, USER, expect_equal, report


async def connect(**more):
    return await asyncpg.connect(host=HOST, port=PORT, user=USER, database=DATABASE, **more)


async def expect_refusal(kind, work):
    try:
        await work
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


async def migration():
    connection = await connect()
    async with connection.transaction():
        await connection.execute(
            """drop table if exists m_apg_posts, m_apg_users; drop type if exists m_apg_role;
            create type m_apg_role as enum ('admin', 'guest');
            create table m_apg_users (id serial primary key, name text not null unique, role m_apg_role not null default 'guest', roles m_apg_role[]);
            create table m_apg_posts (id uuid primary key default gen_random_uuid(), owner int not null references m_apg_users, body text, data jsonb);
            create index on m_apg_posts (owner)"""
        )
    async with connection.transaction():
        await connection.execute("alter table m_apg_users add column age int check (age > 0)")
    await connection.close()


async def crud():
    connection = await connect()
    user = await connection.fetchrow(
        "insert into m_apg_users (name, role, roles, age) values ($1, $2, $3, $4) returning *", "Ann", "admin", ["admin", "guest"], 30
    )
    expect_equal((user["role"], user["roles"], user["age"]), ("admin", ["admin", "guest"], 30))
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    await connection.executemany(
        "insert into m_apg_posts (owner, body, data) values ($1, $2, $3)", [(user["id"], f"b{n}", {"n": n}) for n in range(5)]
    )
    rows = await connection.fetch(
        "select u.name, p.body, p.data from m_apg_posts p join m_apg_users u on u.id = p.owner where p.body = any($1::text[]) order by p.body", ["b1", "b3"]
    )
    expect_equal([tuple(row) for row in rows], [("Ann", "b1", {"n": 1}), ("Ann", "b3", {"n": 3})])
    expect_equal(await connection.execute("update m_apg_posts set body = body || $1 where owner = $2", "!", user["id"]), "UPDATE 5")
    expect_equal(await connection.fetchval("select count(*) from m_apg_posts where body like 'b%!'"), 5)
    expect_equal(await connection.execute("delete from m_apg_posts"), "DELETE 5")
    await connection.close()


async def types():
    connection = await connect()
    cases = [
        ("bool", True), ("int2", 7), ("int4", -7), ("int8", 2**40), ("float4", 1.5), ("float8", 1e300), ("numeric", Decimal("-3.1400")), ("text", "ü"),
        ("varchar", "x"), ("bytea", b"\x00\xff"), ("date", date(2024, 2, 29)), ("timestamp", datetime(2024, 2, 29, 12, 0, 0, 123456)),
        ("timestamptz", datetime(2024, 2, 29, 12, tzinfo=timezone.utc)), ("interval", timedelta(days=3, seconds=5)),
        ("uuid", uuid.UUID("12345678-1234-5678-1234-567812345678")), ("int4[]", [1, None, 3]), ("text[]", ["a", 'b"']), ("jsonb", '{"a": 1}'), ("json", '{"a":1}'),
        ("numeric[]", [Decimal("1.5")]), ("timestamptz[]", [datetime(2024, 1, 1, tzinfo=timezone.utc)]), ("oid", 26), ("name", "n"),
    ]
    for name, value in cases:
        expect_equal((name, await connection.fetchval(f"select $1::{name}", value)), (name, value))
        expect_equal(await connection.fetchval(f"select $1::{name}", None), None)
    expect_equal(tuple(await connection.fetchval("select row(1, 'x'::text, null::int)")), (1, "x", None))
    await connection.close()


async def failures():
    connection = await connect()
    error = await expect_refusal(asyncpg.UniqueViolationError, connection.execute("insert into m_apg_users (name) values ($1)", "Ann"))
    expect_equal((error.sqlstate, error.constraint_name, error.table_name), ("23505", "m_apg_users_name_key", "m_apg_users"))
    await expect_refusal(asyncpg.CheckViolationError, connection.execute("update m_apg_users set age = -1"))
    await expect_refusal(asyncpg.ForeignKeyViolationError, connection.execute("insert into m_apg_posts (owner) values (-1)"))
    await expect_refusal(asyncpg.UndefinedTableError, connection.fetch("select * from nowhere"))
    await expect_refusal(asyncpg.PostgresSyntaxError, connection.fetch("selec"))
    await connection.close()


async def transactions():
    connection = await connect()
    for level in ("serializable", "repeatable_read", "read_committed"):
        async with connection.transaction(isolation=level, readonly=True):
            expect_equal(await connection.fetchval("show transaction_isolation"), level.replace("_", " "))
    async with connection.transaction():
        await connection.execute("update m_apg_users set age = 40")
        try:
            async with connection.transaction():
                await connection.execute("update m_apg_users set age = 50")
                raise KeyError
        except KeyError:
            pass
    expect_equal(await connection.fetchval("select age from m_apg_users where name = 'Ann'"), 40)
    async with connection.transaction():
        seen = [row["g"] async for row in connection.cursor("select g from generate_series(1, 100) g", prefetch=7)]
        expect_equal(seen, list(range(1, 101)))
        cursor = await connection.cursor("select g from generate_series(1, 100) g")
        await cursor.forward(10)
        expect_equal((await cursor.fetchrow())["g"], 11)
    statement = await connection.prepare("select id, name from m_apg_users where id = $1")
    expect_equal([str(one.type.name) for one in statement.get_attributes()], ["int4", "text"])
    expect_equal([one.name for one in statement.get_parameters()], ["int4"])
    await connection.close()


async def copies():
    connection = await connect()
    await connection.execute("drop table if exists m_apg_copy; create table m_apg_copy (id int primary key, name text, at timestamptz)")
    at = datetime(2024, 1, 1, tzinfo=timezone.utc)
    expect_equal(await connection.copy_records_to_table("m_apg_copy", records=[(n, f"n{n}", at) for n in range(1000)]), "COPY 1000")
    chunks = []

    async def keep(chunk):
        chunks.append(chunk)

    await connection.copy_from_query("select name from m_apg_copy where id < $1 order by id", 3, output=keep)
    expect_equal(b"".join(chunks), b"n0\nn1\nn2\n")
    await connection.copy_from_table("m_apg_copy", output=keep, format="binary")
    await connection.close()


async def pools():
    pool = await asyncpg.create_pool(host=HOST, port=PORT, user=USER, database=DATABASE, min_size=2, max_size=5)

    async def one(number):
        async with pool.acquire() as connection:
            return await connection.fetchval("select $1::int + 1", number)

    expect_equal(await asyncio.gather(*(one(n) for n in range(50))), list(range(1, 51)))
    await pool.close()  # each connection is reset: advisory locks, CLOSE ALL, UNLISTEN *, RESET ALL


async def notifications():
    listener, speaker = await connect(), await connect()
    heard = asyncio.get_running_loop().create_future()
    await listener.add_listener("m_apg", lambda *what: heard.set_result(what[3]))
    await speaker.execute("notify m_apg, 'hello'")
    expect_equal(await asyncio.wait_for(heard, 10), "hello")
    await listener.close()
    await speaker.close()


async def cancel():
    connection = await connect()
    await expect_refusal(asyncio.TimeoutError, connection.fetch("select pg_sleep(30)", timeout=0.5))
    expect_equal(await connection.fetchval("select 1"), 1)
    await connection.close()


for name, work in {
    "migration, in transactions": migration, "CRUD, relations, enums": crud, "types, binary": types, "errors": failures, "transactions, cursors": transactions,
    "COPY": copies, "pool": pools, "LISTEN, NOTIFY": notifications, "cancel": cancel,
}.items():
    try:
        asyncio.run(asyncio.wait_for(work(), 60))
        report(name)
    except Exception as error:  # noqa: BLE001 - the report says what it was
        report(name, error)
