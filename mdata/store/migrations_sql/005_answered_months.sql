CREATE TABLE answered_months (
    -- When REST has last answered for something of a month, to tell which of two stores knows it by the later answer.
    series_id INTEGER NOT NULL REFERENCES series (id),
    month INTEGER NOT NULL,           -- when the UTC month begins
    answered_at INTEGER NOT NULL,
    PRIMARY KEY (series_id, month)
) STRICT, WITHOUT ROWID
