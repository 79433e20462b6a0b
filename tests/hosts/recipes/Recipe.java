// Java, org.xerial:sqlite-jdbc.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.sqlite.SQLiteConfig;

public class Recipe {
    static int orders(Connection db) throws SQLException {
        try (Statement statement = db.createStatement(); ResultSet rows = statement.executeQuery("SELECT count(*) FROM orders")) {
            rows.next();
            return rows.getInt(1);
        }
    }

    public static void main(String[] arguments) throws Exception {
        // docs
        SQLiteConfig config = new SQLiteConfig();
        config.enableLoadExtension(true);
        Connection loader = config.createConnection("jdbc:sqlite::memory:");
        loader.createStatement().execute("SELECT load_extension('./litestream-vfs', 'sqlite3_litestreamdefault_init')");
        // end
        System.out.println("loads yes");

        // docs
        Connection db = DriverManager.getConnection("jdbc:sqlite:file:app.db?vfs=litestream&replica_url=s3://bucket/app");
        Connection past = DriverManager.getConnection("jdbc:sqlite:litestream:s3%3A%2F%2Fbucket%2Fapp?time=2026-01-31T12:00:00Z");
        // end
        Connection named = DriverManager.getConnection("jdbc:sqlite:litestream:s3%3A%2F%2Fbucket%2Fapp");
        System.out.println("uri " + orders(db));
        System.out.println("name " + orders(named));
        db.createStatement().execute("PRAGMA litestream_time = '2026-01-31T12:00:00Z'");
        System.out.println("time " + orders(past) + " " + orders(db));

        try {
            DriverManager.getConnection("jdbc:sqlite:litestream:s3%3A%2F%2Fbucket%2Fnowhere");
        } catch (SQLException error) {
            ResultSet reason = loader.createStatement().executeQuery("SELECT litestream_last_error()");
            reason.next();
            System.out.println("reason " + reason.getString(1));
        }

        System.out.println("ready");
        System.in.read();
        Statement statement = named.createStatement();
        var timer = Executors.newSingleThreadScheduledExecutor();
        timer.schedule(() -> { statement.cancel(); return null; }, 2, TimeUnit.SECONDS);
        try {
            statement.executeQuery("SELECT sum(length(hex(content))) FROM documents").next();
        } catch (SQLException error) {
            System.out.println("interrupt " + error.getMessage());
        }
        timer.shutdown();
    }
}
