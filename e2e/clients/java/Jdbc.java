import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.*;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.core.BaseConnection;

/** pgjdbc: extended protocol throughout; from the fifth execution a named statement whose results come in binary. */
public final class Jdbc {
  interface Work {
    void run() throws Exception;
  }

  private static String url;

  private static Connection connect(String... options) throws SQLException {
    return DriverManager.getConnection(url + (options.length == 0 ? "" : "&" + String.join("&", options)));
  }

  private static void check(String what, Work work) {
    String failed = null;
    try {
      work.run();
    } catch (Throwable error) {
      StackTraceElement at = null;
      for (StackTraceElement one : error.getStackTrace()) if (at == null && one.getClassName().startsWith("Jdbc")) at = one;
      failed = error + " (line " + (at == null ? 0 : at.getLineNumber()) + ")";
    }
    StringBuilder line = new StringBuilder("{\"what\": ").append(quoted(what));
    if (failed != null) line.append(", \"failed\": ").append(quoted(failed.replace('\n', ' ')));
    System.out.println(line.append('}'));
  }

  private static String quoted(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }

  private static void equal(Object found, Object wanted) {
    if (!Objects.equals(found, wanted)) throw new AssertionError("found " + found + ", not " + wanted);
  }

  private static SQLException refusal(Work work) throws Exception {
    try {
      work.run();
    } catch (SQLException error) {
      return error;
    }
    throw new AssertionError("nothing was refused");
  }

  private static List<String> column(ResultSet rows, String name) throws SQLException {
    List<String> found = new ArrayList<>();
    while (rows.next()) found.add(rows.getString(name));
    return found;
  }

  private static void migration() throws SQLException {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      statement.execute("drop table if exists m_jdbc_items, m_jdbc_boxes");
      statement.execute("create table m_jdbc_boxes (id bigserial primary key, label varchar(20) not null unique)");
      statement.execute(
          "create table m_jdbc_items (id int primary key, box bigint references m_jdbc_boxes on delete cascade, price numeric(10, 2), "
              + "at timestamptz, day date, data bytea, tags text[], ok boolean, weight float8, doc jsonb)");
      statement.execute("create index m_jdbc_by_box on m_jdbc_items (box, price desc)");
      connection.commit();
      statement.execute("alter table m_jdbc_items add column gone int");
      connection.rollback();
      equal(column(connection.getMetaData().getColumns(null, "public", "m_jdbc_items", "gone"), "COLUMN_NAME"), List.of());
    }
  }

  private static void crud() throws SQLException {
    try (Connection connection = connect()) {
      long box;
      try (PreparedStatement insert =
          connection.prepareStatement("insert into m_jdbc_boxes (label) values (?)", Statement.RETURN_GENERATED_KEYS)) {
        insert.setString(1, "first");
        equal(insert.executeUpdate(), 1);
        ResultSet keys = insert.getGeneratedKeys();
        keys.next();
        box = keys.getLong("id");
      }
      OffsetDateTime at = OffsetDateTime.of(2024, 2, 29, 12, 0, 0, 123456000, ZoneOffset.UTC);
      try (PreparedStatement insert = connection.prepareStatement("insert into m_jdbc_items values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?::jsonb)")) {
        for (int id = 0; id < 10; id++) {
          insert.setInt(1, id);
          insert.setLong(2, box);
          insert.setBigDecimal(3, new BigDecimal(id + ".50"));
          insert.setObject(4, at);
          insert.setObject(5, LocalDate.of(2024, 2, 29));
          insert.setBytes(6, new byte[] {0, (byte) id});
          insert.setArray(7, connection.createArrayOf("text", new String[] {"a", "b\""}));
          insert.setBoolean(8, id % 2 == 0);
          insert.setDouble(9, id / 3.0);
          insert.setString(10, "{\"n\": " + id + "}");
          insert.executeUpdate();
        }
      }
      // Text for the first executions, binary afterwards: the same either way.
      try (PreparedStatement select =
          connection.prepareStatement("select i.*, b.label from m_jdbc_items i join m_jdbc_boxes b on b.id = i.box where i.id = ?")) {
        for (int id = 0; id < 10; id++) {
          select.setInt(1, id);
          ResultSet row = select.executeQuery();
          row.next();
          equal(row.getInt("id"), id);
          equal(row.getBigDecimal("price"), new BigDecimal(id + ".50"));
          equal(row.getObject("at", OffsetDateTime.class).toInstant(), at.toInstant());
          equal(row.getObject("day", LocalDate.class), LocalDate.of(2024, 2, 29));
          equal(row.getBytes("data")[1], (byte) id);
          equal(Arrays.asList((String[]) row.getArray("tags").getArray()), List.of("a", "b\""));
          equal(row.getBoolean("ok"), id % 2 == 0);
          equal(row.getDouble("weight"), id / 3.0);
          equal(row.getString("doc"), "{\"n\": " + id + "}");
          equal(row.getString("label"), "first");
        }
      }
      try (Statement statement = connection.createStatement()) {
        ResultSet prepared =
            statement.executeQuery("select count(*) from pg_prepared_statements where statement like 'select i.*, b.label%'");
        prepared.next();
        equal(prepared.getInt(1), 1);
        equal(statement.executeUpdate("update m_jdbc_items set price = price + 1 where id < 3"), 3);
        equal(statement.executeUpdate("delete from m_jdbc_boxes"), 1);
        ResultSet count = statement.executeQuery("select count(*) from m_jdbc_items");
        count.next();
        equal(count.getInt(1), 0);
      }
    }
  }

  private static void fetchSize() throws SQLException {
    try (Connection connection = connect()) {
      connection.setAutoCommit(false);
      for (int round = 0; round < 7; round++)
        try (PreparedStatement select = connection.prepareStatement("select g, 'row ' || g t from generate_series(1, ?) g")) {
          select.setFetchSize(7);
          select.setInt(1, 100);
          ResultSet rows = select.executeQuery();
          int seen = 0;
          while (rows.next()) equal(rows.getString(2), "row " + ++seen);
          equal(seen, 100);
        }
      try (PreparedStatement select = connection.prepareStatement("select g from generate_series(1, 100) g")) {
        select.setFetchSize(10);
        ResultSet rows = select.executeQuery();
        rows.next();
        rows.close();
      }
      connection.commit();
    }
  }

  private static void batches() throws SQLException {
    for (String option : List.of("reWriteBatchedInserts=false", "reWriteBatchedInserts=true"))
      try (Connection connection = connect(option); Statement statement = connection.createStatement()) {
        statement.execute("drop table if exists m_jdbc_batch");
        statement.execute("create table m_jdbc_batch (id serial primary key, n int unique)");
        try (PreparedStatement insert =
            connection.prepareStatement("insert into m_jdbc_batch (n) values (?)", Statement.RETURN_GENERATED_KEYS)) {
          for (int n = 0; n < 500; n++) {
            insert.setInt(1, n);
            insert.addBatch();
          }
          equal(insert.executeBatch().length, 500);
        }
        ResultSet count = statement.executeQuery("select count(*), sum(n) from m_jdbc_batch");
        count.next();
        equal(count.getInt(1), 500);
        statement.addBatch("update m_jdbc_batch set n = -1 where n = 0");
        statement.addBatch("delete from m_jdbc_batch where n > 400");
        equal(Arrays.toString(statement.executeBatch()), "[1, 99]");
      }
  }

  private static void transactions() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      equal(connection.isValid(5), true);
      connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
      equal(connection.getTransactionIsolation(), Connection.TRANSACTION_SERIALIZABLE);
      connection.setAutoCommit(false);
      statement.executeUpdate("insert into m_jdbc_boxes (label) values ('kept')");
      Savepoint point = connection.setSavepoint("here");
      equal(refusal(() -> statement.executeUpdate("insert into m_jdbc_boxes (label) values ('kept')")).getSQLState(), "23505");
      connection.rollback(point);
      Savepoint second = connection.setSavepoint();
      connection.releaseSavepoint(second);
      connection.commit();
      equal(refusal(() -> statement.executeQuery("select * from nowhere")).getSQLState(), "42P01");
      equal(refusal(() -> statement.executeQuery("select 1")).getSQLState(), "25P02");
      connection.rollback();
      connection.setReadOnly(true);
      equal(refusal(() -> statement.executeUpdate("delete from m_jdbc_boxes")).getSQLState(), "25006");
      connection.rollback();
    }
    // A statement that fails inside of a transaction takes only itself back.
    try (Connection connection = connect("autosave=always"); Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      for (int round = 0; round < 3; round++)
        equal(refusal(() -> statement.executeQuery("select 1 / 0")).getSQLState(), "22012");
      statement.executeUpdate("delete from m_jdbc_boxes");
      connection.commit();
    }
  }

  private static void metadata() throws SQLException {
    try (Connection connection = connect()) {
      DatabaseMetaData data = connection.getMetaData();
      equal(data.getDatabaseMajorVersion(), 15);
      equal(column(data.getTables(null, "public", "m\\_jdbc\\_i%", new String[] {"TABLE"}), "TABLE_NAME"), List.of("m_jdbc_items"));
      equal(
          column(data.getColumns(null, "public", "m_jdbc_items", null), "TYPE_NAME"),
          List.of("int4", "int8", "numeric", "timestamptz", "date", "bytea", "_text", "bool", "float8", "jsonb"));
      equal(column(data.getPrimaryKeys(null, "public", "m_jdbc_items"), "COLUMN_NAME"), List.of("id"));
      equal(column(data.getImportedKeys(null, "public", "m_jdbc_items"), "PKTABLE_NAME"), List.of("m_jdbc_boxes"));
      equal(column(data.getExportedKeys(null, "public", "m_jdbc_boxes"), "FKTABLE_NAME"), List.of("m_jdbc_items"));
      equal(column(data.getIndexInfo(null, "public", "m_jdbc_items", false, true), "COLUMN_NAME"), List.of("id", "box", "price"));
      equal(column(data.getSchemas(), "TABLE_SCHEM").contains("public"), true);
      equal(column(data.getCatalogs(), "TABLE_CAT").contains(connection.getCatalog()), true);
      equal(column(data.getTypeInfo(), "TYPE_NAME").containsAll(List.of("int4", "text", "timestamptz")), true);
      for (ResultSet rows :
          List.of(
              data.getTablePrivileges(null, "public", "m_jdbc_items"),
              data.getColumnPrivileges(null, "public", "m_jdbc_items", null),
              data.getBestRowIdentifier(null, "public", "m_jdbc_items", DatabaseMetaData.bestRowSession, true),
              data.getVersionColumns(null, "public", "m_jdbc_items"),
              data.getUDTs(null, null, "%", null),
              data.getTableTypes(),
              data.getProcedures(null, null, "%"),
              data.getFunctions(null, "public", "%"),
              data.getClientInfoProperties())) rows.next();
      try (PreparedStatement select = connection.prepareStatement("select id, price, at from m_jdbc_items where id = ?")) {
        ResultSetMetaData columns = select.getMetaData();
        equal(columns.getColumnTypeName(2), "numeric");
        equal(columns.getPrecision(2), 10);
        equal(columns.getTableName(2), "m_jdbc_items");
        equal(columns.isNullable(1), ResultSetMetaData.columnNoNulls);
        equal(select.getParameterMetaData().getParameterTypeName(1), "int4");
      }
    }
  }

  private static void copy() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      statement.execute("drop table if exists m_jdbc_copy");
      statement.execute("create table m_jdbc_copy (id int primary key, t text)");
      CopyManager manager = new CopyManager(connection.unwrap(BaseConnection.class));
      equal(manager.copyIn("copy m_jdbc_copy from stdin (format csv)", new StringReader("1,one\n2,\"t,wo\"\n")), 2L);
      StringWriter out = new StringWriter();
      manager.copyOut("copy m_jdbc_copy to stdout", out);
      equal(out.toString(), "1\tone\n2\tt,wo\n");
    }
  }

  private static void cancelAndNotify() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);
      equal(refusal(() -> statement.executeQuery("select pg_sleep(30)")).getSQLState(), "57014");
      statement.setQueryTimeout(0);
      statement.execute("listen m_jdbc");
      try (Connection other = connect(); Statement speaker = other.createStatement()) {
        speaker.execute("notify m_jdbc, 'hello'");
      }
      equal(connection.unwrap(PGConnection.class).getNotifications(10_000)[0].getParameter(), "hello");
    }
  }

  private static void updatable() throws SQLException {
    try (Connection connection = connect();
        Statement statement = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
      statement.execute("delete from m_jdbc_copy");
      statement.execute("insert into m_jdbc_copy values (1, 'a'), (2, 'b')");
      ResultSet rows = statement.executeQuery("select id, t from m_jdbc_copy order by id");
      rows.last();
      rows.updateString("t", "c");
      rows.updateRow();
      rows.moveToInsertRow();
      rows.updateInt("id", 3);
      rows.updateString("t", "d");
      rows.insertRow();
      rows.first();
      rows.deleteRow();
      equal(column(connection.createStatement().executeQuery("select t from m_jdbc_copy order by id"), "t"), List.of("c", "d"));
    }
  }

  public static void main(String[] arguments) {
    url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE")
        + "?user=" + System.getenv("PGUSER");
    check("migration, in transactions", Jdbc::migration);
    check("CRUD, relations, binary from the fifth", Jdbc::crud);
    check("fetch size", Jdbc::fetchSize);
    check("batches", Jdbc::batches);
    check("transactions, savepoints, autosave", Jdbc::transactions);
    check("metadata", Jdbc::metadata);
    check("CopyManager", Jdbc::copy);
    check("updatable result sets", Jdbc::updatable);
    check("query timeout, LISTEN, NOTIFY", Jdbc::cancelAndNotify);
  }
}
