CREATE TABLE IF NOT EXISTS result (
    number integer NOT NULL,
    square integer NOT NULL,
    worker text NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);
