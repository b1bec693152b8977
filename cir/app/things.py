"""Common things in photographs and drawings, from which examples of searches are chosen."""

THINGS = tuple(
    name.strip()
    for name in """
    a dog, a cat, a horse, a cow, a sheep, a bird on a branch, a duck, a fish, a butterfly
    a bee on a flower, an elephant, a giraffe, a zebra, a bear, a lion, a monkey, a rabbit
    a squirrel, a person, a child, a baby, a group of people, people at a table
    a wedding, a concert, a race, a face, a woman in a dress, a man with a hat
    somebody running, somebody swimming
    a beach, the sea, a lake, a river, mountains, snow, a forest, a tree, a garden
    flowers, a field, a sunset, the sky, clouds, the moon, a desert, a path in the woods, rocks
    a city at night, a street, a bridge, a tower, a church, a castle, a house, a door, stairs
    a shop, a market, a park, a playground, a stadium, a statue, a fountain, a harbour, ruins
    a car, a bus, a truck, a train, a bicycle, a motorcycle, a boat, a ship, an aeroplane
    a kitchen, a bathroom, a bedroom, a living room, a sofa, a chair, a table, a bed, a lamp
    a desk with a laptop, a telephone, a keyboard, a television, a clock, a book, a bookshelf
    food on a plate, a cake, a pizza, bread, fruit, vegetables, a salad, a cup of coffee, wine
    a bottle, a glass, a bowl, a vase, an umbrella, a bag, a suitcase, shoes, a hat, a toy
    a teddy bear, a ball, a tennis racket, skis, a surfboard, a skateboard, a kite, a guitar
    a piano, a candle, a traffic light, a sign, a map, a drawing, fireworks, a rainbow
    a red ball, a blue cup, a green car, a yellow flower, a white shirt, a black umbrella
    """.replace("\n", ", ").split(",")
    if name.strip()
)
