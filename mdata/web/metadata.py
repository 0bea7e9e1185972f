"""What Datasette shows about the store: titles, meanings and units from the schema documentation, and the queries."""

from typing import Any

from mdata.exchange.registry import HOME
from mdata.store.schema_docs import TABLES, Table
from mdata.web.queries import QUERIES

# The name of the database in every address, whatever its file is called, so that links stay valid.
DATABASE = "mdata"

# Columns by whose values Datasette counts rows: only those for which that is fast in a store of any size.
_FACETS = {"data_gaps": ["status"], "ingestion_jobs": ["command", "outcome"], "coverage": ["kind"]}
_NEWEST_FIRST = {
    "data_gaps": "start_time", "ingestion_jobs": "id", "candle_revisions": "id", "rejected_rows": "id",
}  # fmt: skip


def metadata() -> dict[str, Any]:
    """Return Datasette's metadata for a store."""
    return {
        "title": "mdata",
        "description": f"{HOME.title} candles, and the ledger that proves which of them are complete.",
        "databases": {
            DATABASE: {
                "description": "Everything that is stored. Times are ms since 1970 UTC, shown as dates.",
                "tables": {name: _table(name, table) for name, table in TABLES.items()}
                | {"_sqlite_migrations": {"hidden": True}},
                "queries": {
                    name: {"title": query.title, "description": query.meaning, "sql": query.sql, "hide_sql": True}
                    for name, query in QUERIES.items()
                },
            }
        },
    }


def _table(name: str, table: Table) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": table.title,
        "description": table.meaning,
        "columns": {column: one.text for column, one in table.columns.items()},
    }
    if name == "series":
        found["label_column"] = "symbol"
    if name in _FACETS:
        found["facets"] = _FACETS[name]
    if name in _NEWEST_FIRST:
        found["sort_desc"] = _NEWEST_FIRST[name]
    return found
