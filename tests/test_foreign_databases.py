"""A database from elsewhere: foreign objects in it are refused and named, and a stored name is never used as a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from place import Place
from typer.testing import CliRunner

from facedex.cli.app import app
from facedex.engine import Engine
from facedex.errors import DatabaseDamagedError, DatabaseSchemaError
from facedex.gallery import Gallery
from facedex.gallery.fsck import fsck
from facedex.server import Access
from facedex.store import Database, Feed, PackPin, Shadow, previous_pack

PIN = PackPin("synthetic", "ab" * 32, 32)

TRIGGERS = {
    "sqlite": ["CREATE TRIGGER helper AFTER INSERT ON api_keys BEGIN UPDATE api_keys SET scopes = 'admin'; END"],
    "postgresql": [
        "CREATE FUNCTION helper() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.scopes = 'admin'; RETURN NEW; END $$",
        "CREATE TRIGGER helper BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION helper()",
    ],
    "mysql": ["CREATE TRIGGER helper BEFORE INSERT ON api_keys FOR EACH ROW SET NEW.scopes = 'admin'"],
}
DROPPED = {"postgresql": "DROP TRIGGER helper ON api_keys"}


@pytest.fixture
def bound(place: Place) -> Place:
    database = Database(place.location)
    Feed(database, "default").bind(PIN)
    database.close()
    return place


def list_refused(place: Place) -> tuple[str, ...]:
    """Open the database in each way, and return the named objects."""
    with pytest.raises(DatabaseSchemaError) as caught:
        Database(place.location)
    with pytest.raises(DatabaseSchemaError):
        fsck(place.location)
    for found in caught.value.found:
        assert found in str(caught.value)
    return caught.value.found


def test_a_trigger_that_raises_privileges_is_refused_and_named(bound: Place) -> None:
    for statement in TRIGGERS[bound.kind]:
        bound.execute(statement)
    assert list_refused(bound) == ("trigger 'helper' on 'api_keys'",)
    ran = CliRunner().invoke(app, ["keys", "add", "door", "--scope", "read", "--db", bound.location])
    assert ran.exit_code != 0
    assert "trigger 'helper' on 'api_keys'" in ran.output.replace("\n", " ")
    assert "trigger 'helper'" in CliRunner().invoke(app, ["fsck", "--db", bound.location]).output.replace("\n", " ")
    bound.execute(DROPPED.get(bound.kind, "DROP TRIGGER helper"))
    database = Database(bound.location)
    key, _ = Access(database).keys.add("door", ["read"])
    assert key.scopes == ("read",)
    database.close()


def test_foreign_views_and_tables_are_refused_and_named(bound: Place) -> None:
    bound.execute("CREATE VIEW everybody AS SELECT name FROM people")
    bound.execute("CREATE TABLE notes (id INTEGER)")
    assert set(list_refused(bound)) == {"view 'everybody'", "table 'notes'"}


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_rules_and_policies_are_refused_and_named(bound: Place) -> None:
    bound.execute("CREATE RULE quiet AS ON DELETE TO people DO INSTEAD NOTHING")
    bound.execute("CREATE POLICY few ON people USING (false)")
    bound.execute("CREATE MATERIALIZED VIEW kept AS SELECT name FROM people")
    assert set(list_refused(bound)) == {
        "rule 'quiet' on 'people'",
        "policy 'few' on 'people'",
        "materialized view 'kept'",
    }


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_trigger_that_imitates_the_search_is_refused(bound: Place) -> None:
    name = f"search_{'a' * 32}_{'b' * 12}"
    for body in ("DELETE FROM people;", f"DELETE FROM {name} WHERE true; DELETE FROM faces;"):
        bound.execute(
            f"CREATE OR REPLACE FUNCTION {name}_gone() RETURNS trigger LANGUAGE plpgsql AS "
            f"$body$ BEGIN {body} RETURN NULL; END $body$"
        )
        bound.execute(f"DROP TRIGGER IF EXISTS {name} ON templates")
        bound.execute(f"CREATE TRIGGER {name} AFTER DELETE ON templates EXECUTE FUNCTION {name}_gone()")
        assert list_refused(bound) == (f"trigger {name!r} on 'templates'",)


def test_many_findings_are_not_all_named(bound: Place) -> None:
    for number in range(9):
        bound.execute(f"CREATE TABLE extra{number} (id INTEGER)")
    with pytest.raises(DatabaseSchemaError, match=r"table 'extra4' and 4 more"):
        Database(bound.location)


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil.toml", "..", "", "evil.toml/", "evil.toml", "a b"])
def test_an_invalid_stored_pack_name_is_refused(bound: Place, name: str) -> None:
    bound.execute(f"UPDATE galleries SET pack_name = '{name}'")
    for call in (lambda: Gallery.open(bound.location, pack=None), lambda: fsck(bound.location)):
        with pytest.raises(DatabaseDamagedError, match="no name of a pack"):
            call()


def test_a_manifest_that_a_database_names_is_not_loaded(bound: Place, tmp_path: Path, engine: Engine) -> None:
    manifest = tmp_path / "evil.toml"
    manifest.write_text("this would be read")
    bound.execute(f"UPDATE galleries SET pack_name = '{manifest}'")
    with pytest.raises(DatabaseDamagedError, match="no name of a pack"):
        Gallery.open(bound.location, pack=None)
    ran = CliRunner().invoke(app, ["people", "--db", bound.location])
    assert ran.exit_code != 0
    assert "no name of a pack" in ran.output.replace("\n", " ")


def test_an_invalid_name_of_the_previous_pack_is_refused(bound: Place) -> None:
    database = Database(bound.location)
    feed = Feed(database, "default")
    feed.bind(PIN)
    Shadow(feed, PackPin("other", "cd" * 32, 32)).begin()
    bound.execute("UPDATE gallery_packs SET state = 'past', pack_name = '../other'")
    with pytest.raises(DatabaseDamagedError, match="no name of a pack"):
        previous_pack(feed)
    database.close()


@pytest.mark.parametrize(("column", "value"), [("uuid", "../../x"), ("token", "../../x"), ("pack_digest", "../x")])
def test_values_that_name_files_are_checked_before_use(bound: Place, column: str, value: str) -> None:
    bound.execute(f"UPDATE galleries SET {column} = '{value}'")
    database = Database(bound.location)

    def head() -> None:
        feed = Feed(database, "default")
        feed.bind(PIN)
        feed.head()

    with pytest.raises(DatabaseDamagedError, match="restore the database from a backup"):
        head()
    database.close()
