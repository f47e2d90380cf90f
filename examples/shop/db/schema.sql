CREATE TABLE product (
    id    serial PRIMARY KEY,
    name  text NOT NULL UNIQUE,
    price numeric(8, 2) NOT NULL CHECK (price >= 0)
);
INSERT INTO product (name, price) VALUES ('tea', 4.50), ('coffee', 7.20), ('cocoa', 5.00);
