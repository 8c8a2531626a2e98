"""What the shipped router tells apart: tasks of a prompt and domains of a text (docs/router.md)."""

from __future__ import annotations

TASKS: dict[str, str] = {
    "advice": "advice on one's own situation, a recommendation, a plan, a value judgement",
    "analysis": "interpreting, comparing or judging a poem, an event, a company, data",
    "brainstorming": "a list of ideas, names, ways or examples",
    "chat_roleplay": "small talk, or playing a character",
    "classification": "putting a given text or things into categories",
    "closed_qa": "a question about a passage that is given",
    "code": "writing, mending, explaining or converting program code",
    "extraction": "finding names, dates, keywords or fields in a given text",
    "math": "calculations, equations, word problems",
    "open_qa": "a question of knowledge, an explanation, how to do something",
    "rewriting": "polishing, correcting, simplifying or rephrasing a given text",
    "summarization": "the essence of a given text, notes or a dialogue",
    "text_generation": "writing something new: a story, a letter, an advertisement, a title",
    "translation": "from one natural language into another",
}
"""What a text asks of a model, with what belongs there."""

DOMAINS: dict[str, str] = {
    "entertainment": "films, series, music, games, books, art, celebrities",
    "everyday": "daily life, family, friends, feelings, home, pets, small talk",
    "finance": "banking, cards and payments, investing, company results, insurance, tax",
    "food": "cooking, recipes, restaurants, drinks",
    "healthcare": "illnesses, symptoms, treatment, drugs, hospitals, mental health",
    "industry": "manufacturing, energy, logistics, construction, agriculture, real estate, cars",
    "law": "contracts, courts, rights, legislation, compliance",
    "public": "politics, government, elections, administration, police, war, society in the news",
    "retail": "goods, shops, orders, delivery, returns, product reviews",
    "science": "natural sciences, mathematics, astronomy, history and the humanities as scholarship",
    "sports": "matches, athletes, clubs, training",
    "technology": "software, devices as technology, programming, networks, AI, the internet",
    "travel": "hotels, flights, trains, tourism, places to visit",
    "work": "jobs, careers, the office, school, study, teaching",
}
"""What a text is about, with what belongs there."""

HARD, EASY = "hard", "easy"
"""Labels of the head of complexity: whether only the larger model gets a text right."""

HEADS = ("task", "domain", "complexity")
"""What can be trained."""
